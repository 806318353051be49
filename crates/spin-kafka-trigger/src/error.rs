//! Why the engine stopped.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::FailureClass;
use crate::properties::ClientProperties;

/// A fault that stops the engine. Faults that pass are retried and logged instead.
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
    /// The Kafka client cannot go on; a new one may.
    #[error("the Kafka client of group {group} at {brokers} failed: {reason}")]
    Group {
        /// The consumer group.
        group: String,
        /// The bootstrap brokers.
        brokers: String,
        /// What failed.
        reason: String,
    },
    /// The group still has a member of this name, which was not ended properly. The engine tries
    /// on until the broker gives that one up.
    #[error(
        "group {group} at {brokers} still has a member with the instance id {instance_id}: it \
         was killed and its session lasts, or another process has the same id"
    )]
    InstanceIdInUse {
        /// The consumer group.
        group: String,
        /// The bootstrap brokers.
        brokers: String,
        /// The setting `instance_id`.
        instance_id: String,
    },
    /// The handler cannot go on, or broke its contract.
    #[error("{topic}/{partition} at offset {offset}: {reason}")]
    Handler {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Start of the batch; the partition's position is still there. -1 before the first.
        offset: i64,
        /// The handler's words, or which rule it broke.
        reason: String,
    },
    /// A record cannot be applied, and the settings say to stop in front of it.
    #[error(
        "{topic}/{partition} at offset {offset}: the record cannot be applied ({class}): {reason}"
    )]
    Poison {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
        /// What happened.
        class: FailureClass,
        /// The handler's words.
        reason: String,
    },
    /// A dead-letter topic cannot be read, or its letters cannot be sent back.
    #[error("dead-letter topic {topic}: {reason}")]
    DeadLetters {
        /// The topic.
        topic: String,
        /// What failed, with the letter it concerns.
        reason: String,
    },
    /// The range to replay cannot be found.
    #[error("topic {topic}: {reason}")]
    Range {
        /// The topic.
        topic: String,
        /// What cannot be found, and what to give instead.
        reason: String,
    },
    /// There are records to read, and librdkafka fetches none. A new client does.
    #[error(
        "{topic}/{partition}: the client has fetched nothing from offset {offset} on for {waited_s} \
         s, though its log goes on"
    )]
    NothingFetched {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where reading is to go on.
        offset: i64,
        /// For how long.
        waited_s: u64,
    },
    /// Records cannot be read; going on would skip them.
    #[error(
        "{topic}/{partition}: the records from offset {offset} on cannot be read: {code}. If a batch \
         unpacks to more than `receive.message.max.bytes`, raise that setting of `client`"
    )]
    Unreadable {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where the unreadable part begins.
        offset: i64,
        /// librdkafka's error.
        code: RDKafkaErrorCode,
    },
}

impl Error {
    /// Whether starting the engine again may help without anyone changing anything.
    pub fn is_retriable(&self) -> bool {
        matches!(
            self,
            Error::Group { .. } | Error::InstanceIdInUse { .. } | Error::NothingFetched { .. }
        )
    }

    /// The client could not be made. The value of a property is left out: it may be a secret.
    pub(crate) fn client(brokers: &str, properties: &ClientProperties, error: KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, _, name, _) if properties.contains(&name) => Error::Config {
                setting: format!("client.\"{name}\""),
                reason: "librdkafka does not know it, does not take its value, or was built without it"
                    .into(),
            },
            KafkaError::ClientConfig(_, reason, name, _) => {
                Error::Client { brokers: brokers.into(), reason: format!("{name}: {reason}") }
            }
            error => Error::Client { brokers: brokers.into(), reason: error.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rdkafka::consumer::BaseConsumer;

    use super::*;
    use crate::Config;

    #[test]
    fn a_bad_property_is_named_without_its_value() {
        let client = BTreeMap::from([("sasl.passwort".to_owned(), "hunter2".to_owned())]);
        let config = Config { client: client.into(), ..Config::default() };
        let error = crate::client_config::consumer(&config)
            .create::<BaseConsumer>()
            .map(|_| ())
            .unwrap_err();
        let error = Error::client("localhost:9092", &config.client, error).to_string();
        assert!(error.contains("client.\"sasl.passwort\""), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
