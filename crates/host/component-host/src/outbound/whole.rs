//! Provides `doorbuster:http/client`: complete requests of guests, and their complete responses.

use std::time::Duration;

use ::http::{Request, Response};
use http_body_util::BodyExt as _;
use wasmtime::component::{Accessor, HasData, Linker};
use wasmtime_wasi_http::Error as HttpError;

use super::Outbound;
use crate::capability::Capability;
use crate::state::GuestState;
use crate::whole::{
    ResponseLimits, SendError, WholeBody, WholeRequest, WholeResponse, client, request_from_guest,
    response_to_guest,
};
use spin_app::allowed_hosts::AllowedHosts;

/// The most bytes of the body of a request, and of a response. Longer ones are to be streamed
/// through `wasi:http/client`.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The client for components that import it. Each request is checked like one through
/// `wasi:http/client`.
pub(crate) struct HttpClient;

impl Capability for HttpClient {
    fn interface(&self) -> &str {
        "doorbuster:http/client@0.1.0"
    }

    fn add_to_linker(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        client::add_to_linker::<_, Self>(linker, |state| state)
    }

    fn check(&self, _: &AllowedHosts) -> Result<(), String> {
        Ok(())
    }
}

impl HasData for HttpClient {
    type Data<'a> = &'a mut GuestState;
}

impl client::Host for &mut GuestState {}

impl client::HostWithStore<GuestState> for HttpClient {
    async fn send(
        accessor: &Accessor<GuestState, Self>,
        request: WholeRequest,
        limits: ResponseLimits,
    ) -> Result<WholeResponse, SendError> {
        if request.body.len() > BODY_BYTES_MAX {
            return Err(SendError::InvalidRequest("a body of more than 1 MiB".into()));
        }
        let request = request_from_guest(request)
            .map_err(|fault| SendError::InvalidRequest(fault.into_owned()))?;
        let outbound = accessor.with(|mut access| access.get().outbound().clone());
        let response = outbound.exchange(request, limits).await.map_err(failure)?;
        response_to_guest(response).ok_or(SendError::ResponseTooLarge)
    }
}

impl Outbound {
    /// Sends a request and waits for the complete response.
    async fn exchange(
        &self,
        request: Request<WholeBody>,
        limits: ResponseLimits,
    ) -> Result<Response<WholeBody>, HttpError> {
        let requested = Duration::from_millis(limits.timeout_ms.into());
        let bytes_max = usize::try_from(limits.body_bytes_max).unwrap_or(usize::MAX);
        let exchange = async {
            let (response, mut guard) = self.send(request.map(WholeBody::into_body)).await?;
            guard.received();
            let (head, body) = response.into_parts();
            let watched = body.map_frame(move |frame| {
                guard.received();
                frame
            });
            let body = WholeBody::collect(watched, bytes_max.min(BODY_BYTES_MAX)).await?;
            Ok(Response::from_parts(head, body))
        };
        let timeout = requested.min(self.limits.outbound_timeout);
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(HttpError::HttpResponseTimeout))
    }
}

/// The component `http-client` converts the errors of `wasi:http` in the same way.
fn failure(error: HttpError) -> SendError {
    match error {
        HttpError::HttpRequestDenied => SendError::Denied,
        HttpError::DnsTimeout | HttpError::DnsError { .. } => SendError::NameNotFound,
        HttpError::DestinationNotFound | HttpError::DestinationUnavailable => {
            SendError::Unreachable
        }
        HttpError::ConnectionRefused => SendError::ConnectionRefused,
        HttpError::ConnectionTimeout => SendError::ConnectionTimeout,
        HttpError::ConnectionLimitReached => SendError::ConnectionLimit,
        HttpError::ConnectionTerminated
        | HttpError::HttpResponseIncomplete
        | HttpError::HttpProtocolError
        | HttpError::Hyper(_) => SendError::Interrupted,
        HttpError::ConnectionReadTimeout
        | HttpError::ConnectionWriteTimeout
        | HttpError::HttpResponseTimeout => SendError::ResponseTimeout,
        HttpError::HttpResponseBodySize(_) => SendError::ResponseTooLarge,
        HttpError::InternalError(Some(text)) => SendError::Other(text),
        other => SendError::Other(other.to_string()),
    }
}
