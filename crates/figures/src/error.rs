//! Why there are no figures.

use http::StatusCode;
use intake::Problem;

/// Why there are no figures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Valkey refuses the command or does not allow it.
    #[error("Valkey refuses to read the figures: {0}")]
    Refused(String),
    /// Valkey cannot answer now.
    #[error("Valkey cannot answer: {0}")]
    Unavailable(String),
    /// A key holds what the aggregator never writes.
    #[error("{key} holds `{value}`, which is no {expected}: delete it or correct it")]
    Malformed {
        /// The key.
        key: String,
        /// What it holds.
        value: String,
        /// What it must hold.
        expected: &'static str,
    },
    /// The reply is not the one of the command.
    #[error("Valkey's reply is not the one of the command")]
    Unexpected,
    /// No sale of this product has been counted.
    #[error("no sale of the product `{0}` has been counted")]
    UnknownProduct(String),
}

/// How the errors begin that another try cannot help.
const LASTING: [&str; 4] = ["ERR ", "NOPERM ", "NOSCRIPT ", "WRONGTYPE "];

impl Error {
    /// An error that the server put in place of the reply.
    pub(crate) fn of_server(text: String) -> Self {
        if LASTING.iter().any(|code| text.starts_with(code)) {
            Self::Refused(text)
        } else {
            Self::Unavailable(text)
        }
    }

    /// Whether another try may help.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<&Error> for Problem {
    /// What a client is told. Texts that name keys and hosts are for the log.
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
