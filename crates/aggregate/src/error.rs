//! What can go wrong with an update.

/// A fault of an update. Nothing of the batch was applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Valkey answered with an error: loading, read-only, out of memory, an overflow.
    #[error("Valkey refused the update: {0}")]
    Refused(String),
    /// An answer that the script never gives.
    #[error("Valkey gave an unexpected answer: {0}")]
    Unexpected(String),
}

impl Error {
    /// Whether the same update may succeed later: a refusal may pass, a wrong answer hardly.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Error::Refused(_))
    }
}
