//! The pooled HTTP client. For `http`: HTTP/1.1, and HTTP/2 with prior knowledge for gRPC. For `https`:
//! the version that the server selects.

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use ::http::{Request, Response, header};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use super::silence_guard::SilenceGuard;
use super::tls::{self, ClientTls, Connector};
use crate::Limits;

/// The text by which the client's errors denote a failed lookup.
const DNS_ERROR: &str = "dns error";

/// Connection pools, which all guests of the host share.
#[derive(Clone)]
pub(crate) struct Client {
    http1: Pool<HttpConnector, WasiBody>,
    http2: Pool<HttpConnector, WasiBody>,
    https: Pool<Connector, WasiBody>,
    /// Those for components and hosts with settings of their own.
    configured: Arc<[(ClientTls, Pool<Connector, WasiBody>)]>,
    permits: Arc<Semaphore>,
    /// The bytes that complete messages may have at once.
    whole_bytes: Arc<Semaphore>,
}

impl Client {
    /// Creates the client. A peer that vanished closes no connection; therefore HTTP/2 connections
    /// are pinged while a request waits on them, the operating system probes every socket, and a
    /// connection that was idle for long is not used again.
    pub fn new(limits: &Limits, client_tls: &[ClientTls]) -> Result<Self, String> {
        let silence_max = limits.outbound_silence_max;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(limits.connect_timeout));
        connector.set_tcp_user_timeout(Some(silence_max));
        connector.set_keepalive(Some(silence_max / 3));
        connector.set_keepalive_interval(Some(silence_max / 3));
        connector.set_keepalive_retries(Some(2));
        let mut builder = Pool::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits.idle_outbound_timeout)
            .pool_max_idle_per_host(limits.idle_outbound_connections_max)
            .http2_keep_alive_interval(silence_max * 2 / 3)
            .http2_keep_alive_timeout(silence_max / 3);
        let mut any_scheme = connector.clone();
        any_scheme.enforce_http(false);
        let https = |config: Option<&ClientTls>| {
            let tls = tls::connector(config)?;
            let connector = Connector::new(any_scheme.clone(), tls, limits.connect_timeout);
            Ok::<_, String>(builder.build(connector))
        };
        let configured = client_tls.iter().map(|config| Ok((config.clone(), https(Some(config))?)));
        let configured = configured.collect::<Result<_, String>>()?;
        Ok(Self {
            http1: builder.build(connector.clone()),
            https: https(None)?,
            configured,
            http2: builder.clone().http2_only(true).build(connector),
            permits: Arc::new(Semaphore::new(limits.outbound_requests_at_once_max)),
            whole_bytes: Arc::new(Semaphore::new(
                limits.outbound_whole_bytes_max.min(Semaphore::MAX_PERMITS),
            )),
        })
    }

    /// Reserves memory for a complete request and its response. `None` if too much is in use.
    pub fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).ok()?;
        self.whole_bytes.clone().try_acquire_many_owned(bytes).ok()
    }

    /// Sends a request of a component. In plain text, gRPC is sent over HTTP/2, because it needs
    /// trailers, and everything else over HTTP/1.1. Also returns the guard of the connection, which
    /// must be kept until the end of the answer.
    pub async fn send(
        &self,
        component: &str,
        mut request: Request<WasiBody>,
    ) -> Result<(Response<WasiBody>, SilenceGuard), HttpError> {
        let permit = self.permits.clone().try_acquire_owned();
        let permit = permit.map_err(|_| HttpError::ConnectionLimitReached)?;
        request.headers_mut().remove(header::HOST);
        let guard = SilenceGuard::new(&mut request, permit);
        let response = match request.uri().scheme_str() {
            Some("https") => self.https(component, &request).request(request),
            Some("http") if is_grpc(&request) => self.http2.request(request),
            Some("http") => self.http1.request(request),
            _ => return Err(HttpError::HttpRequestUriInvalid),
        };
        let response = response.await.map_err(|error| failure(&error))?;
        Ok((response.map(|body| body.map_err(HttpError::from).boxed_unsync()), guard))
    }

    /// The pool for a request over TLS.
    fn https(&self, component: &str, request: &Request<WasiBody>) -> &Pool<Connector, WasiBody> {
        let host = request.uri().host().unwrap_or_default();
        let mut configured = self.configured.iter();
        let found = configured.find(|(config, _)| config.applies(component, host));
        found.map_or(&self.https, |(_, pool)| pool)
    }
}

fn is_grpc(request: &Request<WasiBody>) -> bool {
    request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn failure(error: &hyper_util::client::legacy::Error) -> HttpError {
    tracing::debug!(error = %error, cause = ?error.source(), "outgoing request failed");
    if !error.is_connect() {
        return HttpError::ConnectionTerminated;
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.to_string() == DNS_ERROR {
            return HttpError::DnsError { rcode: None, info_code: None };
        }
        if let Some(error) = error.downcast_ref::<native_tls::Error>() {
            return tls::failure(error);
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return connect_failure(error.kind());
        }
        cause = error.source();
    }
    HttpError::ConnectionRefused
}

fn connect_failure(kind: io::ErrorKind) -> HttpError {
    match kind {
        io::ErrorKind::TimedOut => HttpError::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            HttpError::DestinationUnavailable
        }
        _ => HttpError::ConnectionRefused,
    }
}
