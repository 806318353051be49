//! An event that is ready to be written.

use bytes::Bytes;

/// One record, without its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The key of the record; without one, the producer chooses the partition.
    pub key: Option<Vec<u8>>,
    /// The value of the record. It may be empty, but is never null.
    pub value: Bytes,
    /// The headers of the record, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The idempotency key to claim before the record is written.
    pub claim: Option<Claim>,
}

/// A claim of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The key.
    pub key: String,
    /// What the key belongs to: a request with the same key and other content is refused.
    pub content: Vec<u8>,
}
