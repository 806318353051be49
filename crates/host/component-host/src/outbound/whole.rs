//! Provides `doorbuster:http/client`: complete requests of guests, and their complete responses.

use std::time::Duration;

use ::http::{Request, Response};
use http_body_util::BodyExt as _;
use http_text::BODY_BYTES_MAX;
use wasmtime::component::{Accessor, HasData, Linker};
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use super::Outbound;
use crate::capability::Capability;
use crate::state::GuestState;
use crate::whole::{
    CollectError, ResponseLimits, SendError, WholeBody, WholeRequest, WholeResponse, client,
    request_from_guest, response_to_guest,
};

/// The client for components that import it. Each request is checked like one through
/// `wasi:http/client`.
pub(crate) struct HttpClient;

impl Capability for HttpClient {
    fn interfaces(&self) -> &[&str] {
        &["doorbuster:http/client@0.1.0"]
    }

    fn add_to_linker(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        client::add_to_linker::<_, Self>(linker, |state| state)
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
        let sent_bytes = request.body.len() + request.headers.len() + request.trailers.len();
        let request = request_from_guest(request)
            .map_err(|fault| SendError::InvalidRequest(fault.into_owned()))?;
        let outbound = accessor.with(|mut access| access.get().outbound().clone());
        let bytes_max = usize::try_from(limits.body_bytes_max).unwrap_or(usize::MAX);
        let bytes_max = bytes_max.min(BODY_BYTES_MAX);
        let room = outbound.client.room(sent_bytes + bytes_max);
        let _room = room.ok_or(SendError::ConnectionLimit)?;
        let timeout = Duration::from_millis(limits.timeout_ms.into());
        let response = outbound.exchange(request, timeout, bytes_max).await?;
        response_to_guest(response).ok_or(SendError::ResponseTooLarge)
    }
}

impl Outbound {
    /// Sends a request that a component has forwarded, and waits for the head of the response.
    pub(crate) async fn forward(
        &self,
        request: Request<WholeBody>,
    ) -> Result<Response<WasiBody>, SendError> {
        let max = self.limits.outbound_timeout;
        self.send_in_time(request.map(WholeBody::into_body), max, max).await.map_err(failure)
    }

    /// Sends a request and waits for the complete response.
    async fn exchange(
        &self,
        request: Request<WholeBody>,
        timeout: Duration,
        bytes_max: usize,
    ) -> Result<Response<WholeBody>, SendError> {
        let exchange = async {
            let sent = self.send(request.map(WholeBody::into_body)).await;
            let (response, mut guard) = sent.map_err(failure)?;
            guard.received();
            let (head, body) = response.into_parts();
            let watched = body.map_frame(move |frame| {
                guard.received();
                frame
            });
            let body = WholeBody::collect(watched, bytes_max).await.map_err(body_failure)?;
            Ok(Response::from_parts(head, body))
        };
        let timeout = timeout.min(self.limits.outbound_timeout);
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(SendError::ResponseTimeout))
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
        HttpError::TlsCertificateError => SendError::CertificateNotTrusted,
        HttpError::TlsProtocolError | HttpError::TlsAlertReceived { .. } => SendError::TlsFailed,
        HttpError::InternalError(Some(text)) => SendError::Other(text),
        other => SendError::Other(other.to_string()),
    }
}

/// The server has sent the head, so it has received the request. The error of the body does not show
/// this: a component of the same application can choose any. `http-client` has the same rule.
fn body_failure(error: CollectError) -> SendError {
    match error {
        CollectError::TooLong => SendError::ResponseTooLarge,
        CollectError::Broken(error) => interrupted(&error),
    }
}

/// The failure of a response whose body has ended with this error.
pub(crate) fn interrupted(error: &HttpError) -> SendError {
    match error {
        HttpError::ConnectionReadTimeout | HttpError::HttpResponseTimeout => {
            SendError::ResponseTimeout
        }
        _ => SendError::Interrupted,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    /// The result for a response whose body has one byte and then this error.
    async fn result(error: HttpError, bytes_max: usize) -> SendError {
        let frames = [Ok(Frame::data(Bytes::from_static(b"x"))), Err(error)];
        let body = StreamBody::new(stream::iter(frames));
        body_failure(WholeBody::collect(body, bytes_max).await.unwrap_err())
    }

    #[tokio::test]
    async fn an_error_of_the_body_never_means_that_nothing_was_sent() {
        for error in [HttpError::ConnectionRefused, HttpError::HttpRequestDenied] {
            assert!(matches!(result(error, 1).await, SendError::Interrupted));
        }
        let silent = result(HttpError::ConnectionReadTimeout, 1).await;
        assert!(matches!(silent, SendError::ResponseTimeout));
        let long = result(HttpError::ConnectionRefused, 0).await;
        assert!(matches!(long, SendError::ResponseTooLarge));
    }
}
