//! What the answer of a service means for the task.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};
use http_text::{retry_after, to_lines};

/// The headers of an answer that are stored.
const STORED_HEADERS: [HeaderName; 9] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LOCATION,
    header::LOCATION,
    header::LINK,
    header::ETAG,
    header::LAST_MODIFIED,
];

/// A complete answer of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was sent: there is no connection.
    Unreachable,
    /// It ended the connection, or its answer is not valid.
    Interrupted,
    /// It did not answer in time.
    TimedOut,
    /// Its answer is longer than permitted.
    TooLong,
    /// The request cannot be sent.
    InvalidRequest,
}

/// How an attempt ended. Reasons are for the client, too, so they contain no addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The service has handled the request.
    Succeeded(Answer),
    /// The service has refused the request, and would do so again.
    Failed(Answer),
    /// Another attempt may succeed.
    Again(String),
    /// The service has not begun to handle the request. Another attempt may succeed, if it begins after the
    /// time that the service has named.
    Unavailable(String, Option<Duration>),
    /// No attempt will succeed, and there is no answer.
    Rejected(String),
}

impl Outcome {
    /// The outcome of an attempt that ended now.
    pub fn of(answered: Result<Answer, Failure>, now: SystemTime) -> Self {
        match answered {
            Ok(answer) if matches!(answer.status.as_u16(), 429 | 503) => {
                let value = answer.headers.get(header::RETRY_AFTER);
                let wait = value.and_then(|value| retry_after(value, now));
                Self::Unavailable(format!("the service answered {}", answer.status.as_u16()), wait)
            }
            Ok(answer) if is_temporary(answer.status) => {
                Self::Again(format!("the service answered {}", answer.status.as_u16()))
            }
            Ok(answer) if answer.status.is_client_error() => Self::Failed(answer),
            Ok(answer) => Self::Succeeded(answer),
            Err(Failure::Unreachable) => {
                Self::Unavailable("the service could not be reached".into(), None)
            }
            Err(Failure::Interrupted) => {
                Self::Again("the service did not complete its answer".into())
            }
            Err(Failure::TimedOut) => Self::Again("the service did not answer in time".into()),
            Err(Failure::TooLong) => {
                Self::Rejected("the answer of the service is longer than permitted".into())
            }
            Err(Failure::InvalidRequest) => Self::Rejected("the request cannot be sent".into()),
        }
    }
}

/// Whether the same request may get another answer later. A status that is not valid is treated as an
/// error of the service.
fn is_temporary(status: StatusCode) -> bool {
    !(200..500).contains(&status.as_u16()) || matches!(status.as_u16(), 408 | 425)
}

/// The headers of an answer in the form in which they are stored.
pub fn stored_headers(headers: &HeaderMap) -> Vec<u8> {
    to_lines(headers, |name| STORED_HEADERS.contains(name))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_failures_that_may_pass_are_repeated() {
        let outcome = |status| {
            let status = StatusCode::from_u16(status).unwrap();
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from(7))]);
            let answer = Answer { status, headers, body: Bytes::new() };
            Outcome::of(Ok(answer), SystemTime::UNIX_EPOCH)
        };
        for status in [200, 204, 303, 304] {
            assert!(matches!(outcome(status), Outcome::Succeeded(_)), "{status}");
        }
        for status in [400, 401, 404, 409, 422] {
            assert!(matches!(outcome(status), Outcome::Failed(_)), "{status}");
        }
        for status in [101, 408, 425, 500, 502, 504, 600, 999] {
            assert!(matches!(outcome(status), Outcome::Again(_)), "{status}");
        }
        for status in [429, 503] {
            let Outcome::Unavailable(_, wait) = outcome(status) else { panic!("{status}") };
            assert_eq!(wait, Some(Duration::from_secs(7)), "{status}");
        }
        let failed = |failure| Outcome::of(Err(failure), SystemTime::UNIX_EPOCH);
        assert!(matches!(failed(Failure::Unreachable), Outcome::Unavailable(_, None)));
        for failure in [Failure::TimedOut, Failure::Interrupted] {
            assert!(matches!(failed(failure), Outcome::Again(_)), "{failure:?}");
        }
        for failure in [Failure::TooLong, Failure::InvalidRequest] {
            assert!(matches!(failed(failure), Outcome::Rejected(_)), "{failure:?}");
        }
    }

    #[test]
    fn only_headers_about_the_content_are_stored() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("content-type", "a/b"), ("set-cookie", "x"), ("server", "y")] {
            headers.insert(name, value.parse().unwrap());
        }
        assert_eq!(stored_headers(&headers), b"content-type: a/b\r\n");
    }
}
