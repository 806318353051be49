//! What is written, and where it came to lie.

/// A record to write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutgoingRecord {
    /// The topic's name. It must exist: nothing creates it on the way.
    pub topic: String,
    /// The key; without one the producer chooses the partition.
    pub key: Option<Vec<u8>>,
    /// The value; none writes a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers, in order; a name may come several times.
    pub headers: Vec<Header>,
}

/// A record header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The header's name.
    pub name: String,
    /// The header's value; none is Kafka's null, which is not an empty value.
    pub value: Option<Vec<u8>>,
}

/// Where the broker put a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The partition's number.
    pub partition: i32,
    /// The record's offset; -1 if the broker only knows that it has the record.
    pub offset: i64,
}

/// Longest name that Kafka lets a topic have.
const TOPIC_BYTES_MAX: usize = 249;

/// Whether Kafka lets a topic have this name.
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
