//! What a handler returns for a batch that it applied.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Failure, Header, Rejection};

/// What a handler returns for a batch that it applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The records of the batch that the handler rejects.
    pub rejections: Vec<Rejection>,
    /// The offsets of the records that the handler dropped because of a filter on what it decoded.
    pub filtered: Vec<i64>,
    /// The records to write, in order. They become visible to readers with the isolation level
    /// `read_committed` together with the offset of the batch, or not at all.
    pub records: Vec<OutgoingRecord>,
}

/// A record to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutgoingRecord {
    /// The topic's name. It must be one of the setting `output_topics`.
    pub topic: Arc<str>,
    /// The partition's number. `None` if the key determines it, or for a record without a key any.
    pub partition: Option<i32>,
    /// The timestamp in milliseconds since 1970-01-01 UTC. `None` for the time when it is written.
    pub timestamp_ms: Option<i64>,
    /// The key's bytes; `None` is a null key.
    pub key: Option<Bytes>,
    /// The value's bytes; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// The headers, in order. A name may occur several times.
    pub headers: Vec<Header>,
}

impl Answer {
    /// The rejections, for a caller that writes no records. Fails if there are records to write.
    pub fn only_rejections(self) -> Result<Vec<Rejection>, Failure> {
        match self.records.first() {
            None => Ok(self.rejections),
            Some(record) => {
                let reason = format!(
                    "the handler returns a record for topic `{}`, which is not written",
                    record.topic
                );
                Err(Failure::Fatal(reason))
            }
        }
    }
}

impl From<Vec<Rejection>> for Answer {
    fn from(rejections: Vec<Rejection>) -> Self {
        Self { rejections, ..Self::default() }
    }
}

impl From<Vec<OutgoingRecord>> for Answer {
    fn from(records: Vec<OutgoingRecord>) -> Self {
        Self { records, ..Self::default() }
    }
}

impl OutgoingRecord {
    /// A record with this value, without a key and headers.
    pub fn new(topic: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), value: Some(value.into()), ..Self::default() }
    }

    /// The same record with this key.
    #[must_use]
    pub fn with_key(self, key: impl Into<Bytes>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// Why no broker accepts the record, if that is so.
    pub(crate) fn fault(&self) -> Option<String> {
        if let Some(partition @ ..0) = self.partition {
            return Some(format!("{partition} is not a partition"));
        }
        match self.timestamp_ms {
            Some(timestamp_ms @ ..1) => {
                Some(format!("the timestamp {timestamp_ms} is not above 0"))
            }
            _ => None,
        }
    }

    /// The number of bytes of key, value and headers.
    pub fn content_bytes(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.iter().map(|header| header.name.len() + length(&header.value));
        length(&self.key) + length(&self.value) + headers.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_no_broker_accepts_has_a_fault() {
        let record = || OutgoingRecord::new("totals", "1").with_key("a");
        assert_eq!(record().fault(), None);
        assert_eq!(record().content_bytes(), 2);
        for (record, part) in [
            (OutgoingRecord { partition: Some(-1), ..record() }, "-1 is not a partition"),
            (OutgoingRecord { timestamp_ms: Some(0), ..record() }, "not above 0"),
        ] {
            assert!(record.fault().is_some_and(|fault| fault.contains(part)));
        }
    }
}
