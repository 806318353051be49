//! Why a request for dead letters failed, as problem details (RFC 9457).

use std::time::{Duration, Instant};

use component_host::http::{Answer, problem};
use http::{HeaderValue, StatusCode, header};
use spin_kafka_trigger::Error;

/// The pause after which a client may repeat a request, unless another one is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request failed. The texts contain no addresses: the live page shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// Dead letters are not enabled, or no topic is known.
    NotServed,
    /// The host is a name other than `localhost`, and the port or the client has a loopback address.
    Host,
    /// Another method is needed: one of these.
    Method(&'static str),
    /// Sending letters back is not enabled.
    Forbidden,
    /// The content type is not that of JSON.
    MediaType,
    /// Other requests used Kafka for too long, or too many are waiting.
    Busy,
    /// Kafka does not answer, or refuses the request. It is asked again at this time, if the failure
    /// is kept until then.
    Unavailable(Option<Instant>),
    /// The topics cannot be read within the time limit. They are read again at this time, if the
    /// failure is kept until then.
    ReadTimedOut(Option<Instant>),
    /// The time limit has passed, but the run continues.
    StillRunning,
    /// A failure ended the run: letters may have been written, but are not marked.
    ReplayFailed {
        /// The letters that were sent back and marked.
        sent: u64,
    },
}

impl Problem {
    /// The problem for a failed read, which is kept until `retry_at`.
    pub(super) fn of_read(error: &Error, retry_at: Option<Instant>) -> Self {
        match error {
            Error::LettersTimedOut { .. } => Self::ReadTimedOut(retry_at),
            _ => Self::Unavailable(retry_at),
        }
    }

    fn parts(self) -> (StatusCode, &'static str, String) {
        match self {
            Self::NotServed => (
                StatusCode::NOT_FOUND,
                "not-found",
                "dead letters are not served here; `doorbuster up --dead-letters` enables them"
                    .into(),
            ),
            Self::Host => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "dead letters of a local process are served only if the host is an IP address or \
                 localhost"
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
                "other requests read the dead letters or send them back; try again".into(),
            ),
            Self::Unavailable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "the dead letters cannot be read or sent back at the moment; the log of the \
                 program says why"
                    .into(),
            ),
            Self::ReadTimedOut(_) => (
                StatusCode::GATEWAY_TIMEOUT,
                "timed-out",
                "the dead letters cannot be read within the time limit; `doorbuster dlq` has no \
                 limit"
                    .into(),
            ),
            Self::StillRunning => (
                StatusCode::GATEWAY_TIMEOUT,
                "timed-out",
                "the time limit has passed; the run may still be sending letters".into(),
            ),
            Self::ReplayFailed { sent } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "replay-failed",
                format!(
                    "{sent} letters were sent back, then a failure ended the run: some letters may \
                     have been written without being marked, so the next run may send them again; \
                     the log of the program says why"
                ),
            ),
        }
    }

    /// The time after which a client may repeat the request; none if that may send letters twice.
    fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Unavailable(at) | Self::ReadTimedOut(at) => {
                let left = at.map(|at| at.saturating_duration_since(Instant::now()));
                Some(left.unwrap_or_default().max(RETRY_AFTER))
            }
            Self::Busy => Some(RETRY_AFTER),
            _ => None,
        }
    }

    /// The problem as an answer.
    pub(super) fn answer(self) -> Answer {
        let (status, name, detail) = self.parts();
        let mut answer = problem(status, name, &detail, None);
        let headers = answer.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(pause) = self.retry_after() {
            // Rounded up, so that a client does not come too early.
            let seconds = pause.as_millis().div_ceil(1_000);
            headers.insert(header::RETRY_AFTER, u64::try_from(seconds).unwrap_or(1).into());
        }
        if let Self::Method(allowed) = self {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        answer
    }
}
