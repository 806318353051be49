//! The errors of reading the figures.

use http::StatusCode;
use intake::Problem;

/// Why the figures could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Valkey rejects the command, or its user may not run it.
    #[error("Valkey refuses the read of the figures: {0}")]
    Refused(String),
    /// Valkey cannot answer at present.
    #[error("Valkey cannot answer: {0}")]
    Unavailable(String),
    /// The value of a key is not one that the aggregator writes.
    #[error("{key} contains `{value}`, which is not a valid {expected}: delete it or correct it")]
    Malformed {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What the value must be.
        expected: &'static str,
    },
    /// The reply does not have the form of a reply to the command.
    #[error("Valkey's reply does not match the command")]
    Unexpected,
    /// No sale of this product has been counted.
    #[error("no sale of the product `{0}` has been counted")]
    UnknownProduct(String),
}

/// The prefixes of server errors that a retry cannot fix.
const PERMANENT: [&str; 4] = ["ERR ", "NOPERM ", "NOSCRIPT ", "WRONGTYPE "];

impl Error {
    /// Creates the error from the text that the server returned instead of a reply.
    pub(crate) fn from_server(text: String) -> Self {
        if PERMANENT.iter().any(|code| text.starts_with(code)) {
            Self::Refused(text)
        } else {
            Self::Unavailable(text)
        }
    }

    /// Whether a retry may succeed.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<&Error> for Problem {
    /// The problem for the client. Texts with names of keys and hosts are only logged.
    fn from(error: &Error) -> Self {
        match error {
            Error::Unavailable(_) => Self::new(
                "urn:doorbuster:problem:unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "the figures cannot be read at the moment; try again",
            ),
            Error::UnknownProduct(_) => Self::new(
                "urn:doorbuster:problem:not-found",
                StatusCode::NOT_FOUND,
                error.to_string(),
            )
            .with_field("producto_id"),
            Error::Refused(_) | Error::Malformed { .. } | Error::Unexpected => Self::new(
                "urn:doorbuster:problem:downstream",
                StatusCode::BAD_GATEWAY,
                "the figures cannot be read; the log of the component says why",
            ),
        }
    }
}
