//! The errors that stop the engine.

use kafka_client::Error as ClientError;

use crate::FailureClass;

/// An error that stops the engine. Transient errors are retried and logged instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is invalid, or the Kafka client could not be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The Kafka client cannot continue; a new client may work.
    #[error("the Kafka client of group {group} at {brokers} failed: {reason}")]
    Group {
        /// The consumer group.
        group: String,
        /// The bootstrap brokers.
        brokers: String,
        /// What failed.
        reason: String,
    },
    /// The group still has a member with this static name that did not leave. The engine retries
    /// until that member's session times out.
    #[error(
        "group {group} at {brokers} still has a member with the instance id {instance_id}: either \
         it was killed and its session has not expired, or another process has the same id"
    )]
    InstanceIdInUse {
        /// The consumer group.
        group: String,
        /// The bootstrap brokers.
        brokers: String,
        /// The setting `instance_id`.
        instance_id: String,
    },
    /// The handler cannot continue, or it broke its contract.
    #[error("{topic}/{partition} at offset {offset}: {reason}")]
    Handler {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Start of the batch, which is still the position of the partition; -1 before the first
        /// batch.
        offset: i64,
        /// The handler's message, or the rule that it broke.
        reason: String,
    },
    /// A record cannot be applied, and `failed_records` is `stop`.
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
        /// Why the record was given up.
        class: FailureClass,
        /// The handler's message.
        reason: String,
    },
    /// A dead-letter topic cannot be read, or its letters cannot be sent back.
    #[error("dead-letter topic {topic}: {reason}")]
    DeadLetters {
        /// The topic.
        topic: String,
        /// What failed, and for which letter.
        reason: String,
    },
    /// The dead-letter topic does not exist.
    #[error("dead-letter topic {topic}: {reason}")]
    LettersTopicMissing {
        /// The topic.
        topic: String,
        /// The answer of the cluster.
        reason: String,
    },
    /// Letters may have been written to their topics, but are not marked as sent back.
    #[error("dead-letter topic {topic}: {reason}")]
    LettersUnmarked {
        /// The topic.
        topic: String,
        /// What failed.
        reason: String,
    },
    /// The time limit for reading or sending back letters has passed.
    #[error("dead-letter topic {topic}: the time limit has passed")]
    LettersTimedOut {
        /// The topic.
        topic: String,
    },
    /// The range to replay cannot be determined.
    #[error("topic {topic}: {reason}")]
    Range {
        /// The topic.
        topic: String,
        /// What cannot be found, and what to specify instead.
        reason: String,
    },
    /// There are records to read, but librdkafka fetches none. A new client does.
    #[error(
        "{topic}/{partition}: the client has fetched nothing from offset {offset} on for {waited_s} \
         s, although the log has more records"
    )]
    NothingFetched {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset to read next.
        offset: i64,
        /// For how many seconds nothing was fetched.
        waited_s: u64,
    },
    /// Records cannot be read; continuing would skip them.
    #[error(
        "{topic}/{partition}: the records from offset {offset} on cannot be read: {reason}. If a batch \
         is larger than `receive.message.max.bytes` when it is decompressed, raise that setting of \
         `client`"
    )]
    Unreadable {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The first offset that cannot be read.
        offset: i64,
        /// librdkafka's error.
        reason: String,
    },
}

/// A text is not the value that it should be. The text of the error says what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub(crate) String);

impl Error {
    /// Fails with the reason unless the value of the setting is valid.
    pub(crate) fn check(setting: &'static str, is_valid: bool, reason: &str) -> Result<(), Self> {
        if is_valid { Ok(()) } else { Err(Self::setting(setting, reason)) }
    }

    /// The value of this setting is invalid.
    pub(crate) fn setting(setting: &str, reason: impl Into<String>) -> Self {
        ClientError::setting(setting, reason).into()
    }

    /// Whether starting the engine again may succeed without a change of the settings or the
    /// records.
    pub fn is_retriable(&self) -> bool {
        matches!(
            self,
            Error::Group { .. } | Error::InstanceIdInUse { .. } | Error::NothingFetched { .. }
        )
    }
}
