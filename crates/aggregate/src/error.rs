//! What can go wrong with an update.

/// A fault of an update. Nothing of the batch was applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Valkey answered with an error: loading, read-only, out of memory, an overflow.
    #[error("Valkey refused the update: {0}")]
    Refused(String),
    /// The store holds counters of another program.
    #[error(
        "Valkey holds counters that another program wrote, and no position that says which records \
         they cover ({0}): adding to them would count sales twice. Empty Valkey, and the whole topic \
         is counted from its beginning"
    )]
    Foreign(String),
    /// Another owner of the partition moved its position or its names at every call.
    #[error("another consumer keeps applying the same partition: not applied after {calls} calls")]
    Contended {
        /// Calls of the script that were made.
        calls: u32,
    },
    /// An answer that the script never gives.
    #[error("Valkey gave an unexpected answer: {0}")]
    Unexpected(String),
}

impl Error {
    /// Whether the same update may succeed later: a refusal may pass, a wrong answer hardly.
    pub fn is_retriable(&self) -> bool {
        match self {
            Error::Refused(_) | Error::Contended { .. } => true,
            Error::Foreign(_) | Error::Unexpected(_) => false,
        }
    }
}
