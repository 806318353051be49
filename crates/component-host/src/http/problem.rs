//! The host's own answers, as RFC 9457 problem details.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use wasmtime_wasi_http::WasiBody;

/// Seconds a client is asked to wait when the host itself has no room.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// A problem that the host found before or behind the guest.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Problem {
    /// No route fits the path.
    NotFound,
    /// Too many requests at once, or no room for another instance.
    Busy,
    /// The guest did not answer in time.
    TimedOut,
    /// The guest trapped, or broke off its answer.
    GuestFailed,
    /// The client broke off its body, or sent less or more than it announced.
    BadBody,
}

impl Problem {
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
            Problem::BadBody => (
                StatusCode::BAD_REQUEST,
                "bad-body",
                "the request's body ended early or broke its announced length",
            ),
        }
    }

    /// The problem as a response.
    pub fn response(self) -> Response<WasiBody> {
        let (status, name, detail) = self.parts();
        let json = format!(
            r#"{{"type":"urn:doorbuster:problem:{name}","title":"{}","status":{},"detail":"{detail}"}}"#,
            status.canonical_reason().unwrap_or(name),
            status.as_u16(),
        );
        let mut response = text(status, "application/problem+json", json.into());
        if matches!(self, Problem::Busy) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}

/// A complete small answer.
pub(crate) fn text(
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
) -> Response<WasiBody> {
    let length = HeaderValue::from(body.len());
    let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, length);
    response
}
