//! The errors of an update.

/// An update failed. Nothing of the batch was applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Valkey returned an error, for example because it is loading, read-only or out of memory, or
    /// because a sum would overflow.
    #[error("Valkey refused the update: {0}")]
    Refused(String),
    /// Valkey contains counters of another program.
    #[error(
        "Valkey contains counters of another program, without a position that shows which records \
         they include ({0}): adding to them would count sales twice. Empty Valkey; the topic is \
         then counted from its beginning"
    )]
    Foreign(String),
    /// Another owner of the partition, or a loss of Valkey's last updates, changed the position or
    /// the monitored products between the calls.
    #[error(
        "another consumer applies the same partition at the same time, or Valkey lost its last \
         updates: not applied after {calls} calls"
    )]
    Contended {
        /// Number of calls of the script that were made.
        calls: u32,
    },
    /// A reply that the script never returns.
    #[error("unexpected reply of the script: {0}")]
    Unexpected(String),
}

impl Error {
    /// Whether the same update may succeed later. A refusal may be temporary, an unexpected reply
    /// is not.
    pub fn is_retriable(&self) -> bool {
        match self {
            Error::Refused(_) | Error::Contended { .. } => true,
            Error::Foreign(_) | Error::Unexpected(_) => false,
        }
    }
}
