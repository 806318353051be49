//! The record to write, and its position in the log.

use crate::ProduceError;

/// A record to write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutgoingRecord {
    /// The topic's name. The topic must exist; it is not created.
    pub topic: String,
    /// The partition's number; None if the producer chooses it: by the key, or for a record without
    /// a key any.
    pub partition: Option<i32>,
    /// The timestamp in milliseconds since 1970-01-01 UTC, above 0; None for the time of the call.
    pub timestamp_ms: Option<i64>,
    /// The key; None is Kafka's null.
    pub key: Option<Vec<u8>>,
    /// The value; None writes a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers, in order. A name may occur several times.
    pub headers: Vec<Header>,
}

/// A record header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The header's name.
    pub name: String,
    /// The header's value. None is Kafka's null, which is different from an empty value.
    pub value: Option<Vec<u8>>,
}

/// The position at which the broker has written a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The partition's number.
    pub partition: i32,
    /// The record's offset; None if the broker recognised a duplicate and does not know its offset.
    pub offset: Option<i64>,
}

impl OutgoingRecord {
    /// Checks the values that no broker accepts.
    pub fn validate(&self) -> Result<(), ProduceError> {
        let topic = &self.topic;
        if !is_topic_name(topic) {
            return Err(ProduceError::Refused(format!("`{topic}` is not a valid topic name")));
        }
        if let Some(partition @ ..0) = self.partition {
            let text = format!("topic `{topic}`: {partition} is not a partition");
            return Err(ProduceError::Refused(text));
        }
        if let Some(timestamp_ms @ ..1) = self.timestamp_ms {
            let text = format!("topic `{topic}`: the timestamp {timestamp_ms} is not above 0");
            return Err(ProduceError::Refused(text));
        }
        Ok(())
    }
}

/// Maximum length of a topic's name in Kafka, in bytes.
const TOPIC_BYTES_MAX: usize = 249;

/// Whether Kafka accepts this name for a topic.
pub fn is_topic_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=TOPIC_BYTES_MAX).contains(&name.len())
        && name.bytes().all(legal)
        && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kafka_takes() {
        for name in ["sales-topic", "a", "A.b_c-9", "...", &"x".repeat(249)] {
            assert!(is_topic_name(name), "{name}");
        }
        for name in ["", ".", "..", "no spaces", "nul\0", "ü", "a/b", &"x".repeat(250)] {
            assert!(!is_topic_name(name), "{name}");
        }
    }

    #[test]
    fn values_that_no_broker_accepts_are_refused() {
        let record = || OutgoingRecord { topic: "sales".into(), ..Default::default() };
        let valid = OutgoingRecord { partition: Some(0), timestamp_ms: Some(1), ..record() };
        assert_eq!(valid.validate(), Ok(()));
        for (invalid, reason) in [
            (OutgoingRecord { topic: "a/b".into(), ..record() }, "`a/b`"),
            (OutgoingRecord { partition: Some(-1), ..record() }, "-1 is not a partition"),
            (OutgoingRecord { timestamp_ms: Some(0), ..record() }, "timestamp 0"),
        ] {
            let Err(ProduceError::Refused(text)) = invalid.validate() else {
                panic!("{invalid:?}");
            };
            assert!(text.contains(reason), "{text}");
        }
    }
}
