//! Outgoing HTTP requests of guests. They are checked against the manifest, and then passed to a
//! component of the same application or sent over a pooled connection.

mod client;
mod denied;
mod silence_guard;
mod tls;
mod whole;

use std::sync::{Arc, Weak};
use std::time::Duration;

use ::http::uri::{Authority, PathAndQuery, Scheme};
use ::http::{HeaderName, Request, Response, Uri, header};
use futures::future::BoxFuture;
use http_body_util::BodyExt as _;
use tower_http::timeout::TimeoutBody;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error as HttpError, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpHooks,
};

pub(crate) use client::Client;
pub(crate) use denied::DeniedRequests;
use silence_guard::SilenceGuard;
pub use tls::ClientTls;
pub(crate) use whole::{HttpClient, interrupted};

use crate::Limits;
use spin_app::CHAINING_DOMAIN;
use spin_app::allowed_hosts::{AllowedHosts, default_port};

/// The host of requests to the application that the component belongs to, as in Spin. A URL without
/// a host means the same.
const SELF_HOST: &str = "self.alt";

type IoFuture = Box<dyn Future<Output = Result<(), HttpError>> + Send>;
type Sent = Result<(Response<WasiBody>, IoFuture), HttpError>;

/// The HTTP components of the application, which send requests to each other.
pub(crate) trait ChainedComponents: Send + Sync {
    /// Sends a request to a component. Returns `None` if there is no HTTP component with this id.
    fn call(
        &self,
        id: &str,
        request: Request<WasiBody>,
    ) -> Option<BoxFuture<'static, Response<WasiBody>>>;

    /// Sends a request as a client would, to the component whose route matches the path. Returns
    /// `None` if no component has a route.
    fn call_routed(
        &self,
        request: Request<WasiBody>,
    ) -> Option<BoxFuture<'static, Response<WasiBody>>>;
}

/// Whether components neither get nor set a field of this name. As in Spin, a component can read the
/// `host` field that a client sent.
pub(crate) fn is_forbidden(name: &HeaderName) -> bool {
    *name != header::HOST && DEFAULT_FORBIDDEN_HEADERS.contains(name)
}

/// The state for the outgoing requests of one component.
#[derive(Clone)]
pub(crate) struct Outbound {
    pub component: Arc<str>,
    pub allowed: Arc<AllowedHosts>,
    pub client: Client,
    /// The reference is weak, because the components own their guests, and the guests own this.
    pub components: Weak<dyn ChainedComponents>,
    pub limits: Arc<Limits>,
}

impl WasiHttpHooks for Outbound {
    /// A `host` field that the component sets is not sent, because it follows from the URL.
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_forbidden)
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_processed: IoFuture,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let outbound = self.clone();
        Box::new(async move {
            let max = outbound.limits.outbound_timeout;
            let requested = options.unwrap_or_default();
            let first_byte = requested.first_byte_timeout.map_or(max, |limit| limit.min(max));
            let between_bytes = requested.between_bytes_timeout.map_or(max, |limit| limit.min(max));
            let response = outbound.send_in_time(request, first_byte, between_bytes).await?;
            Ok((response, Box::new(async { Ok(()) }) as IoFuture))
        })
    }
}

impl Outbound {
    /// Sends a request, with limits for the time until the head of the response, and between two parts of
    /// its body.
    async fn send_in_time(
        &self,
        request: Request<WasiBody>,
        first_byte: Duration,
        between_bytes: Duration,
    ) -> Result<Response<WasiBody>, HttpError> {
        let sent = tokio::time::timeout(first_byte, self.send(request)).await;
        let (response, mut guard) = sent.unwrap_or(Err(HttpError::HttpResponseTimeout))?;
        guard.received();
        Ok(response.map(|body| {
            let watched = body.map_frame(move |frame| {
                guard.received();
                frame
            });
            let timely = TimeoutBody::new(between_bytes, watched);
            timely.map_err(body_failure).boxed_unsync()
        }))
    }

    /// Sends a request and waits for the head of the response, without a time limit.
    async fn send(
        &self,
        request: Request<WasiBody>,
    ) -> Result<(Response<WasiBody>, SilenceGuard), HttpError> {
        if is_to_own_routes(request.uri()) {
            return Ok((self.send_to_own_routes(request).await?, SilenceGuard::none()));
        }
        self.check(request.uri())?;
        match chained_component(request.uri()).map(str::to_owned) {
            Some(id) => Ok((self.chain(&id, request).await?, SilenceGuard::none())),
            None => self.client.send(&self.component, request).await,
        }
    }

    async fn send_to_own_routes(
        &self,
        mut request: Request<WasiBody>,
    ) -> Result<Response<WasiBody>, HttpError> {
        if !self.allowed.allows_self() {
            tracing::warn!(
                component = &*self.component,
                "request refused; add \"http://self\" to allowed_outbound_hosts"
            );
            return Err(HttpError::HttpRequestDenied);
        }
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(Authority::from_static(SELF_HOST));
        parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
        *request.uri_mut() =
            Uri::from_parts(parts).map_err(|_| HttpError::HttpRequestUriInvalid)?;
        request.headers_mut().remove(header::HOST);
        let components = self.components.upgrade().ok_or(HttpError::DestinationUnavailable)?;
        let response = components.call_routed(request).ok_or(HttpError::DestinationNotFound)?;
        Ok(response.await)
    }

    fn check(&self, uri: &Uri) -> Result<(), HttpError> {
        let scheme = uri.scheme_str().unwrap_or("http");
        let host = uri.host().unwrap_or("");
        let port = uri.port_u16().or(default_port(scheme)).unwrap_or(0);
        if self.allowed.allows(scheme, host, port) {
            return Ok(());
        }
        tracing::warn!(
            component = &*self.component,
            "request refused; add \"{scheme}://{host}:{port}\" to allowed_outbound_hosts"
        );
        Err(HttpError::HttpRequestDenied)
    }

    async fn chain(
        &self,
        id: &str,
        request: Request<WasiBody>,
    ) -> Result<Response<WasiBody>, HttpError> {
        let components = self.components.upgrade().ok_or(HttpError::DestinationUnavailable)?;
        let Some(response) = components.call(id, request) else {
            tracing::warn!(
                component = &*self.component,
                target_component = id,
                "the target of a request is not an HTTP component of this application"
            );
            return Err(HttpError::DestinationNotFound);
        };
        Ok(response.await)
    }
}

/// Whether the request is for a route of the application that the component belongs to.
fn is_to_own_routes(uri: &Uri) -> bool {
    uri.host().is_none_or(|host| host.is_empty() || host == SELF_HOST)
}

/// Why a body was interrupted: an error of the peer, or a timeout.
fn body_failure(error: Box<dyn std::error::Error + Send + Sync>) -> HttpError {
    error.downcast().map_or(HttpError::ConnectionReadTimeout, |error| *error)
}

/// The id of the component in an address `http://<id>.spin.internal`.
fn chained_component(uri: &Uri) -> Option<&str> {
    uri.host()?.strip_suffix(CHAINING_DOMAIN)
}
