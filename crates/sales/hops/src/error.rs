//! The errors of reading the metrics.

use http::StatusCode;
use intake::Problem;
use metrics_text::NotASample;

/// Why the metrics could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request got no usable response.
    #[error("{0}")]
    Unavailable(String),
    /// A line of a metric of the pipeline is not valid.
    #[error(transparent)]
    Malformed(#[from] NotASample),
    /// The text contains no metric of the pipeline.
    #[error("the answer contains no metric of the pipeline; check the variable `metrics_url`")]
    NoMetrics,
}

impl Error {
    /// Whether a retry may succeed without a change of the configuration.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<&Error> for Problem {
    /// The problem for the client. Texts with addresses are only logged.
    fn from(error: &Error) -> Self {
        match error {
            Error::Unavailable(_) => Self::new(
                "urn:doorbuster:problem:unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "the metrics of the pipeline cannot be read at the moment; try again",
            ),
            Error::Malformed(_) | Error::NoMetrics => Self::new(
                "urn:doorbuster:problem:downstream",
                StatusCode::BAD_GATEWAY,
                "the metrics of the pipeline cannot be read; the log of the component says why",
            ),
        }
    }
}
