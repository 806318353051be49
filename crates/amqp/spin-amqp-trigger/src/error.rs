//! The errors that stop the trigger, and those of dead-letter queues.

/// An error that stops the trigger, or a command that reads dead letters. For the trigger, a broker that
/// cannot be reached, refuses the client, or does not have the queue is not an error: the reason is
/// logged, and the trigger tries again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is invalid.
    #[error("`{setting}`: {reason}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
    /// A setting about batches, retries or failed records is invalid, the handler cannot continue,
    /// or a record cannot be applied and `failed_records` is `stop`. The topic in the error is the
    /// queue, and the offset is the number of the delivery in its connection.
    #[error(transparent)]
    Engine(#[from] spin_kafka_trigger::Error),
    /// A dead-letter queue cannot be read, or its letters cannot be sent back.
    #[error("dead-letter queue `{queue}`: {reason}")]
    Letters {
        /// The queue.
        queue: String,
        /// The reason.
        reason: String,
    },
}

impl Error {
    pub(crate) fn setting(setting: &'static str, reason: impl Into<String>) -> Self {
        Self::Setting { setting, reason: reason.into() }
    }

    /// Whether starting the trigger again may succeed without a change of the settings, the handler
    /// or the messages.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Setting { .. } => false,
            Self::Letters { .. } => true,
            Self::Engine(error) => error.is_retriable(),
        }
    }
}
