//! Why a producer cannot be made, and why a record has no acknowledgement.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

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
    /// The broker refuses this client, this topic or this record. It was not written.
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

    /// The class of librdkafka's error. `reachable` says whether a broker could be reached:
    /// for librdkafka, a record that waits for a broker in vain has timed out as well.
    pub(crate) fn classify(code: Code, topic: &str, brokers: &str, reachable: bool) -> Self {
        let text = format!("topic `{topic}` at {brokers}: {code}");
        match code {
            Code::QueueFull => Self::QueueFull,
            Code::MessageTimedOut | Code::RequestTimedOut | Code::OperationTimedOut => {
                if reachable { Self::TimedOut(text) } else { Self::Unavailable(text) }
            }
            Code::AllBrokersDown
            | Code::BrokerNotAvailable
            | Code::BrokerTransportFailure
            | Code::ISRInsufficient
            | Code::KafkaStorageError
            | Code::LeaderNotAvailable
            | Code::NetworkException
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::NotLeaderForPartition
            | Code::Resolve => Self::Unavailable(text),
            Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => {
                Self::TooLarge(text)
            }
            Code::Authentication
            | Code::ClusterAuthorizationFailed
            | Code::InvalidRecord
            | Code::InvalidTopic
            | Code::PolicyViolation
            | Code::SaslAuthenticationFailed
            | Code::TopicAuthorizationFailed
            | Code::UnknownPartition
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition => Self::Refused(text),
            _ => Self::Other(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(code: Code, reachable: bool) -> ProduceError {
        ProduceError::classify(code, "sales-topic", "kafka:9092", reachable)
    }

    #[test]
    fn a_time_out_without_a_broker_is_unavailable() {
        assert!(matches!(classify(Code::MessageTimedOut, true), ProduceError::TimedOut(_)));
        assert!(matches!(classify(Code::MessageTimedOut, false), ProduceError::Unavailable(_)));
    }

    #[test]
    fn texts_name_topic_and_brokers() {
        let ProduceError::Refused(text) = classify(Code::UnknownTopicOrPartition, true) else {
            panic!("an unknown topic is refused");
        };
        assert!(text.contains("sales-topic") && text.contains("kafka:9092"), "{text}");
    }

    #[test]
    fn only_what_may_pass_is_retriable() {
        for (code, retriable) in [
            (Code::QueueFull, true),
            (Code::NotEnoughReplicas, true),
            (Code::MessageTimedOut, true),
            (Code::MessageSizeTooLarge, false),
            (Code::TopicAuthorizationFailed, false),
            (Code::Fatal, false),
        ] {
            assert_eq!(classify(code, true).is_retriable(), retriable, "{code:?}");
        }
    }
}
