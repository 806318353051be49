//! The errors of a producer that do not belong to a record.

use rdkafka::error::KafkaError;

use crate::ProducerConfig;

/// An error that does not belong to a record: of the settings, the set-up, topics, or the last
/// flush.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The value of a setting is invalid.
    #[error("setting `{setting}`: {reason}")]
    Config {
        /// The setting's name.
        setting: String,
        /// What the value must be.
        reason: String,
    },
    /// The Kafka client could not be set up.
    #[error("cannot set up the Kafka client for {brokers}: {reason}")]
    Client {
        /// The bootstrap brokers.
        brokers: String,
        /// The message of librdkafka.
        reason: String,
    },
    /// The topic could not be created or found.
    #[error("topic `{topic}` at {brokers}: {reason}")]
    Topic {
        /// The topic.
        topic: String,
        /// The bootstrap brokers.
        brokers: String,
        /// The message of the cluster.
        reason: String,
        /// Whether the same request may succeed later.
        retriable: bool,
    },
    /// Records still had no acknowledgement at the end of the flush's time limit. They may or may
    /// not be written.
    #[error("{records} records have no acknowledgement of {brokers} after {waited_ms} ms")]
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
            Error::Config { .. } | Error::Client { .. } => false,
            Error::Topic { retriable, .. } => *retriable,
            Error::Flush { .. } => true,
        }
    }

    /// The error for a client that could not be created. The value of a property is left out: it
    /// may be a secret.
    pub(crate) fn client(config: &ProducerConfig, error: KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, _, name, _) if config.client.contains_key(&name) => {
                Error::Config {
                    setting: format!("client.\"{name}\""),
                    reason: "librdkafka does not know it, does not take its value, or was built \
                             without it"
                        .into(),
                }
            }
            KafkaError::ClientConfig(_, reason, name, _) => Error::Client {
                brokers: config.brokers.clone(),
                reason: format!("{name}: {reason}"),
            },
            error => Error::Client { brokers: config.brokers.clone(), reason: error.to_string() },
        }
    }
}
