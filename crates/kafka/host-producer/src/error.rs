//! The errors of a producer that do not belong to a record.

/// An error that does not belong to a record: of the settings, the set-up, topics, or the last
/// flush.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The value of a setting is invalid, or the Kafka client cannot be created.
    #[error(transparent)]
    Client(#[from] kafka_client::Error),
    /// The topic could not be created or found.
    #[error("topic `{topic}` at {brokers}: {reason}")]
    Topic {
        /// The topic.
        topic: String,
        /// The bootstrap brokers.
        brokers: String,
        /// The message of the brokers.
        reason: String,
        /// Whether the same request may succeed later.
        retriable: bool,
    },
    /// Records still had no acknowledgement at the end of the flush's time limit. They may or may
    /// not be written.
    #[error("{records} records were not acknowledged by {brokers} within {waited_ms} ms")]
    Flush {
        /// Number of these records.
        records: u64,
        /// The bootstrap brokers.
        brokers: String,
        /// How long the flush waited, in milliseconds.
        waited_ms: u128,
    },
}

impl Error {
    /// Whether a retry may succeed without a change of the settings or the cluster.
    pub fn is_retriable(&self) -> bool {
        match self {
            Error::Client(_) => false,
            Error::Topic { retriable, .. } => *retriable,
            Error::Flush { .. } => true,
        }
    }
}
