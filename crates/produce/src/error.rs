//! Why a record has no acknowledgement.

/// Why a record has no acknowledgement. Texts name the topic and the brokers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    /// The producer's queue is full. The record was not sent; try again later.
    #[error("the producer's queue is full")]
    QueueFull,
    /// No acknowledgement in time. The record may or may not have been written.
    #[error("{0}")]
    TimedOut(String),
    /// The broker cannot be reached, or not enough replicas are in sync. The record may or
    /// may not have been written.
    #[error("{0}")]
    Unavailable(String),
    /// The record is larger than the topic allows. It was not written.
    #[error("{0}")]
    TooLarge(String),
    /// The broker refuses this client, this topic or this record, or its address is not one
    /// that may be connected to. It was not written.
    #[error("{0}")]
    Refused(String),
    /// Anything else, in the broker's words.
    #[error("{0}")]
    Other(String),
}

impl ProduceError {
    /// Whether sending the record again may help without anyone changing anything.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::QueueFull | Self::TimedOut(_) | Self::Unavailable(_))
    }
}
