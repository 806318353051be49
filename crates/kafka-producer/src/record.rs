//! What is written, and where it came to lie.

use rdkafka::message::{Header as NativeHeader, OwnedHeaders};

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
    /// The record's offset.
    pub offset: i64,
}

/// The headers in librdkafka's form; none for a record that has none.
pub(crate) fn native_headers(headers: &[Header]) -> Option<OwnedHeaders> {
    if headers.is_empty() {
        return None;
    }
    let native = OwnedHeaders::new_with_capacity(headers.len());
    Some(headers.iter().fold(native, |native, Header { name, value }| {
        native.insert(NativeHeader { key: name, value: value.as_deref() })
    }))
}
