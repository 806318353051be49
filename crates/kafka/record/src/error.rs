//! The error of a producer.

/// Why a record was not acknowledged. The texts contain the topic and the brokers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    /// The producer's queue is full. The record was not sent; try again later.
    #[error("the producer's queue is full")]
    QueueFull,
    /// No acknowledgement in time. The record may have been written.
    #[error("{0}")]
    TimedOut(String),
    /// The broker cannot be reached, or not enough replicas are in sync. The record may have been
    /// written.
    #[error("{0}")]
    Unavailable(String),
    /// The record is larger than the topic allows. It was not written.
    #[error("{0}")]
    TooLarge(String),
    /// The broker denies access for this client or topic, or rejects the record; or the host does
    /// not allow connections to the broker's address. The record was not written.
    #[error("{0}")]
    Refused(String),
    /// Any other error, with the broker's text.
    #[error("{0}")]
    Other(String),
}

impl ProduceError {
    /// Whether sending the record again may succeed without any change of the configuration.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::QueueFull | Self::TimedOut(_) | Self::Unavailable(_))
    }
}
