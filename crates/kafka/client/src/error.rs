//! The errors of settings, and of the creation of a client.

use rdkafka::error::KafkaError;

/// A Kafka client cannot be created. The texts contain no secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The value of a setting is not valid.
    #[error("setting `{setting}`: {reason}")]
    Setting {
        /// The setting's name.
        setting: String,
        /// What the value must be. The value is left out, because it may be a secret.
        reason: String,
    },
    /// librdkafka cannot create the client.
    #[error("cannot set up the Kafka client for {brokers}: {reason}")]
    Client {
        /// The bootstrap brokers.
        brokers: String,
        /// The message of librdkafka.
        reason: String,
    },
}

impl Error {
    /// The value of this setting is not valid.
    pub fn setting(setting: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Setting { setting: setting.into(), reason: reason.into() }
    }

    /// The operator may not give this librdkafka property, or its value is not valid.
    pub fn property(name: &str, reason: impl Into<String>) -> Self {
        Self::setting(format!("client.\"{name}\""), reason)
    }
}

impl From<Error> for KafkaError {
    /// For a function whose other errors are those of librdkafka.
    fn from(error: Error) -> Self {
        Self::ClientCreation(error.to_string())
    }
}
