//! Responses that the host creates, as RFC 9457 problem details.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use wasmtime_wasi_http::WasiBody;

/// Seconds after which a client may retry when the host has reached a limit.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// A problem that the host detected before or after the call of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// No route matches the path.
    NotFound,
    /// Too many requests at once, or the limit of instances is reached.
    Busy,
    /// The guest did not answer in time.
    TimedOut,
    /// The guest trapped, or interrupted its answer.
    GuestFailed,
    /// Another server interrupted the answer that the guest passes on.
    Interrupted,
    /// The client interrupted its body, or sent less or more than it announced.
    BadBody,
    /// The client did not send its body in time.
    LateBody,
    /// The host is missing, invalid, or specified more than once.
    Host,
    /// The method CONNECT.
    Method,
    /// Too many header fields.
    HeadTooLarge,
    /// A transfer coding that this server does not decode.
    TransferCoding,
}

impl Problem {
    /// All problems, in the order of their declaration.
    pub const ALL: [Self; 11] = [
        Self::NotFound,
        Self::Busy,
        Self::TimedOut,
        Self::GuestFailed,
        Self::Interrupted,
        Self::BadBody,
        Self::LateBody,
        Self::Host,
        Self::Method,
        Self::HeadTooLarge,
        Self::TransferCoding,
    ];

    /// Whether the request had reached its component's service.
    pub fn is_of_component(self) -> bool {
        match self {
            Self::Busy
            | Self::TimedOut
            | Self::GuestFailed
            | Self::Interrupted
            | Self::BadBody
            | Self::LateBody => true,
            Self::NotFound
            | Self::Host
            | Self::Method
            | Self::HeadTooLarge
            | Self::TransferCoding => false,
        }
    }

    /// The last part of the problem's type.
    pub fn name(self) -> &'static str {
        let (_, name, _) = self.parts();
        name
    }

    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Problem::NotFound => {
                (StatusCode::NOT_FOUND, "not-found", "no component serves this path")
            }
            Problem::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "too many requests at once; nothing was done",
            ),
            Problem::TimedOut => {
                (StatusCode::GATEWAY_TIMEOUT, "timed-out", "the component did not answer in time")
            }
            Problem::GuestFailed => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "component-failed",
                "the component failed; see the host's log",
            ),
            Problem::Interrupted => {
                (StatusCode::BAD_GATEWAY, "downstream", "the answer of another server ended early")
            }
            Problem::BadBody => (
                StatusCode::BAD_REQUEST,
                "invalid",
                "the body of the request ended early or does not have the announced length",
            ),
            Problem::LateBody => (
                StatusCode::REQUEST_TIMEOUT,
                "request-timeout",
                "the body of the request did not arrive in time",
            ),
            Problem::Host => (
                StatusCode::BAD_REQUEST,
                "invalid",
                "must be given exactly once, as host or host:port",
            ),
            Problem::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, "method", "the method CONNECT is not supported")
            }
            Problem::HeadTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head-too-large",
                "the request has more than 100 header fields",
            ),
            Problem::TransferCoding => (
                StatusCode::NOT_IMPLEMENTED,
                "transfer-coding",
                "chunked is the only supported transfer coding",
            ),
        }
    }

    /// The part of the request that is wrong, if the request is.
    fn field(self) -> Option<&'static str> {
        match self {
            Problem::BadBody | Problem::LateBody => Some("body"),
            Problem::Host => Some("Host"),
            _ => None,
        }
    }

    /// The problem as a response.
    pub fn response(self) -> Response<WasiBody> {
        let (status, name, detail) = self.parts();
        let mut response = problem(status, name, detail, self.field());
        if matches!(self, Problem::Busy) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        if matches!(self, Problem::Method) {
            // RFC 9110 requires the field. It is empty: a tunnel has no resource, and therefore no
            // methods.
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(""));
        }
        response
    }
}

/// A problem as an answer. `name` is the last part of its type, and `field` the part of the request
/// that is wrong, if the request is. The texts must need no escapes in JSON.
pub fn problem(
    status: StatusCode,
    name: &str,
    detail: &str,
    field: Option<&str>,
) -> Response<WasiBody> {
    let field = field.map(|field| format!(r#","field":"{field}""#)).unwrap_or_default();
    let json = format!(
        r#"{{"type":"urn:doorbuster:problem:{name}","title":"{}","status":{},"detail":"{detail}"{field}}}"#,
        status.canonical_reason().unwrap_or(name),
        status.as_u16(),
    );
    text(status, "application/problem+json", json.into())
}

/// A complete small answer.
pub fn text(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<WasiBody> {
    let length = HeaderValue::from(body.len());
    let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, length);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_all_problems_is_in_their_order() {
        for (index, problem) in Problem::ALL.into_iter().enumerate() {
            assert_eq!(problem as usize, index, "{problem:?}");
        }
    }
}
