//! The pooled HTTP client: HTTP/1.1, and HTTP/2 with prior knowledge for gRPC.

use ::http::{Request, Response, header};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use crate::Limits;

/// Two connection pools, shared by every guest of the host.
#[derive(Clone)]
pub(crate) struct Client {
    http1: Pool<HttpConnector, WasiBody>,
    http2: Pool<HttpConnector, WasiBody>,
}

impl Client {
    pub fn new(limits: &Limits) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(limits.connect_timeout));
        let mut builder = Pool::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(limits.idle_outbound_connections_max);
        Self {
            http1: builder.build(connector.clone()),
            http2: builder.http2_only(true).build(connector),
        }
    }

    /// Sends a plain-text request. gRPC goes over HTTP/2, which its trailers need; everything
    /// else over HTTP/1.1.
    pub async fn send(&self, request: Request<WasiBody>) -> Result<Response<WasiBody>, HttpError> {
        if request.uri().scheme_str() != Some("http") {
            return Err(HttpError::InternalError(Some(
                "this host sends plain http only; put a proxy that speaks TLS in between".into(),
            )));
        }
        let pool = if is_grpc(&request) { &self.http2 } else { &self.http1 };
        let response = pool.request(request).await.map_err(failure)?;
        Ok(response.map(|body| body.map_err(HttpError::from).boxed_unsync()))
    }
}

fn is_grpc(request: &Request<WasiBody>) -> bool {
    request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn failure(error: hyper_util::client::legacy::Error) -> HttpError {
    tracing::debug!(error = %error, "outgoing request failed");
    if error.is_connect() { HttpError::ConnectionRefused } else { HttpError::ConnectionTerminated }
}
