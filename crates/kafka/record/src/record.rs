//! The record to write, and its position in the log.

/// A record to write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutgoingRecord {
    /// The topic's name. The topic must exist; it is not created.
    pub topic: String,
    /// The key. For a record without a key, the producer chooses the partition.
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
    /// The record's offset; -1 if the broker recognised a duplicate and does not know its offset.
    pub offset: i64,
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
    use super::is_topic_name;

    #[test]
    fn names_that_kafka_takes() {
        for name in ["sales-topic", "a", "A.b_c-9", "...", &"x".repeat(249)] {
            assert!(is_topic_name(name), "{name}");
        }
        for name in ["", ".", "..", "no spaces", "nul\0", "ü", "a/b", &"x".repeat(250)] {
            assert!(!is_topic_name(name), "{name}");
        }
    }
}
