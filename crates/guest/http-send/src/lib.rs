//! Complete HTTP requests of components, through `doorbuster:http/client`.
//!
//! This is a crate of its own, because the component `http-client`, which exports that interface,
//! must not import it.

use bytes::Bytes;
use http::{HeaderName, StatusCode, Uri, header};
use http_text::{find, to_lines};
use intake::IntakeError;
use intake::hop_times::SERVER_TIMING;

use bindings::doorbuster::http::client;
use guest_http::whole::types::{Request, Response, SendError};
use guest_http::{Answer, FullBody};

pub use guest_http::whole::types::ResponseLimits;

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:http/caller",
        path: "../../../wit/doorbuster-http",
        with: { "doorbuster:http/types@0.1.0": guest_http::whole::types },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
    });
}

/// The headers and trailers of a response that the components use.
const NEEDED_HEADERS: [HeaderName; 4] = [
    header::RETRY_AFTER,
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    SERVER_TIMING,
];

/// Sends a request and returns the complete response.
pub async fn send(
    request: http::Request<Bytes>,
    limits: ResponseLimits,
) -> Result<Answer, IntakeError> {
    let (head, body) = request.into_parts();
    let uri = head.uri;
    let request = Request {
        method: head.method.as_str().into(),
        path_with_query: uri.path_and_query().map_or("/", |path| path.as_str()).into(),
        scheme: uri.scheme_str().map(Into::into),
        authority: uri.authority().map(|authority| authority.as_str().into()),
        headers: to_lines(&head.headers, |_| true),
        body: body.into(),
        trailers: Vec::new(),
    };
    let response = client::send(request, limits).await;
    response.map(receive).map_err(|error| send_error(&uri, error))
}

fn receive(response: Response) -> Answer {
    let trailers = find(&response.trailers.into(), &NEEDED_HEADERS);
    let mut answer = Answer::new(FullBody { data: response.body.into(), trailers });
    let status = StatusCode::from_u16(response.status);
    *answer.status_mut() = status.unwrap_or(StatusCode::BAD_GATEWAY);
    *answer.headers_mut() = find(&response.headers.into(), &NEEDED_HEADERS);
    answer
}

/// The error for a sale whose request got no response.
fn send_error(url: &Uri, error: SendError) -> IntakeError {
    match error {
        SendError::Denied => IntakeError::Other(format!(
            "{url} is not allowed; add it to the component's allowed_outbound_hosts"
        )),
        SendError::InvalidRequest(fault) => {
            IntakeError::Other(format!("{url}: the request has {fault}"))
        }
        SendError::ResponseTooLarge => {
            IntakeError::Other(format!("{url}: the response is too long"))
        }
        SendError::ConnectionTimeout => {
            IntakeError::TimedOut(format!("{url}: no connection in time"))
        }
        SendError::ResponseTimeout => IntakeError::TimedOut(format!("{url}: no response in time")),
        SendError::NameNotFound => unavailable(url, "the name of the server has no address"),
        SendError::Unreachable => unavailable(url, "the server cannot be reached"),
        SendError::ConnectionRefused => unavailable(url, "the connection was refused"),
        SendError::CertificateNotTrusted => {
            unavailable(url, "the certificate of the server is not trusted")
        }
        SendError::TlsFailed => unavailable(url, "the TLS handshake failed"),
        SendError::ConnectionLimit => unavailable(url, "too many outgoing requests at once"),
        SendError::Interrupted => unavailable(url, "the connection ended before the response"),
        SendError::Other(text) => unavailable(url, &text),
    }
}

fn unavailable(url: &Uri, reason: &str) -> IntakeError {
    IntakeError::Unavailable(format!("{url}: {reason}"))
}
