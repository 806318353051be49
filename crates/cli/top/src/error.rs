//! Why a source could not be read.

use std::time::Duration;

use hyper::StatusCode;

/// Why a source could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection could be opened.
    #[error("cannot connect ({0})")]
    Unreachable(String),
    /// The response was not complete in time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The connection broke, or the response is not HTTP.
    #[error("the request failed ({0})")]
    Broken(String),
    /// The response exceeds the limit.
    #[error("the response has more than {0} bytes")]
    TooLarge(usize),
    /// Another status than expected.
    #[error("the response is {status}: {detail}")]
    Status {
        /// The status.
        status: StatusCode,
        /// What the response says about it.
        detail: String,
    },
    /// The content cannot be read: the URL belongs to something else.
    #[error("the response is not {expected} ({reason})")]
    Unexpected {
        /// What was expected.
        expected: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl FetchError {
    /// Whether another attempt may succeed without a change of the arguments.
    pub fn is_retriable(&self) -> bool {
        match self {
            FetchError::Unreachable(_) | FetchError::Timeout(_) | FetchError::Broken(_) => true,
            FetchError::Status { status, .. } => status.is_server_error(),
            FetchError::TooLarge(_) | FetchError::Unexpected { .. } => false,
        }
    }
}
