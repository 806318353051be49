//! Why a producer cannot be made, and what else can go wrong outside of a record's way.

use rdkafka::error::KafkaError;

use crate::ProducerConfig;

/// A fault outside of a record's way: settings, set-up, topics, the last flush.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is wrong.
    #[error("setting `{setting}`: {reason}")]
    Config {
        /// The setting's name.
        setting: String,
        /// What it must be.
        reason: String,
    },
    /// The Kafka client could not be set up.
    #[error("cannot set up the Kafka client for {brokers}: {reason}")]
    Client {
        /// The bootstrap brokers.
        brokers: String,
        /// librdkafka's words.
        reason: String,
    },
    /// The topic could not be made or found.
    #[error("topic `{topic}` at {brokers}: {reason}")]
    Topic {
        /// The topic.
        topic: String,
        /// The bootstrap brokers.
        brokers: String,
        /// What the cluster said.
        reason: String,
        /// Whether the cluster may answer otherwise later.
        retriable: bool,
    },
    /// Records still had no acknowledgement when the flush gave up. They may or may not be
    /// written.
    #[error("{records} records have no acknowledgement of {brokers} after {waited_ms} ms")]
    Flush {
        /// How many.
        records: u64,
        /// The bootstrap brokers.
        brokers: String,
        /// How long the flush waited.
        waited_ms: u128,
    },
}

impl Error {
    /// Whether doing the same again may help without anyone changing anything.
    pub fn is_retriable(&self) -> bool {
        match self {
            Error::Config { .. } | Error::Client { .. } => false,
            Error::Topic { retriable, .. } => *retriable,
            Error::Flush { .. } => true,
        }
    }

    /// The client could not be made. The value of a property is left out: it may be a secret.
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
