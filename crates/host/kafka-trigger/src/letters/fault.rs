//! Why a request for dead letters failed, as problem details (RFC 9457).

use component_host::http::{Answer, text};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use spin_kafka_trigger::Error;

/// Seconds after which a client may repeat a request.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Why a request failed. The texts contain no addresses: the live page shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Dead letters are not enabled, or no topic is known.
    NotServed,
    /// Another method is needed: one of these.
    Method(&'static str),
    /// Sending letters back is not enabled.
    Forbidden,
    /// The content type is not that of JSON.
    MediaType,
    /// Another request used Kafka for too long.
    Busy,
    /// Kafka does not answer, or refuses the request.
    Unavailable,
    /// The time limit has passed.
    TimedOut,
    /// A failure ended the run after this number of letters.
    Interrupted {
        /// The letters that were sent back and marked.
        sent: u64,
    },
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        match error {
            Error::LettersTimedOut { .. } => Self::TimedOut,
            _ => Self::Unavailable,
        }
    }
}

impl Fault {
    fn parts(self) -> (StatusCode, &'static str, String) {
        match self {
            Self::NotServed => (
                StatusCode::NOT_FOUND,
                "not-found",
                "dead letters are not served here; `doorbuster up --dead-letters` enables them"
                    .into(),
            ),
            Self::Method(allowed) => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method",
                format!("only {allowed} is allowed here"),
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "sending dead letters back is not enabled; `--dead-letters replay` enables it"
                    .into(),
            ),
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "the content type must be application/json".into(),
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "another request reads the dead letters or sends them back; try again".into(),
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "the dead letters cannot be read at the moment; the log of the program says why"
                    .into(),
            ),
            Self::TimedOut => (
                StatusCode::GATEWAY_TIMEOUT,
                "timed-out",
                "the time limit has passed; letters may still be sent back for a while".into(),
            ),
            Self::Interrupted { sent } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                format!(
                    "{sent} letters were sent back, then a failure or the time limit ended it; the \
                     log of the program says why"
                ),
            ),
        }
    }

    /// The problem as an answer.
    pub fn answer(self) -> Answer {
        let (status, name, detail) = self.parts();
        let problem = json!({
            "type": format!("urn:doorbuster:problem:{name}"),
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": detail,
        });
        let body = problem.to_string().into_bytes().into();
        let mut answer = text(status, "application/problem+json", body);
        let headers = answer.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        if let Self::Method(allowed) = self {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        answer
    }
}
