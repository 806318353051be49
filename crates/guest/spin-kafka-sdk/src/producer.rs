//! Writes records to Kafka.
//!
//! The host provides the producer: idempotent, with `acks=all`. It is available only in a
//! component; in a native test these functions panic. In `spin.toml`, the brokers must be in the
//! component's `allowed_outbound_hosts`.
//!
//! ```no_run
//! use spin_kafka_sdk::{self as kafka, producer};
//!
//! async fn announce(product: &str) -> Result<(), kafka::Error> {
//!     let record = producer::Outgoing::new("announcements").key(product).json(&product)?;
//!     let delivery = producer::send(record).await?;
//!     tracing::info!(delivery.partition, delivery.offset, "announced");
//!     Ok(())
//! }
//! ```

use serde::Serialize;

use crate::bindings::handler::spin_kafka::events::types;
use crate::bindings::producer::spin_kafka::events::producer as wit;

/// A record to write.
#[derive(Debug, Clone)]
pub struct Outgoing(pub(crate) types::Outgoing);

impl Outgoing {
    /// Name of the topic.
    pub fn topic(&self) -> &str {
        &self.0.topic
    }

    /// The key; `None` is a null key.
    pub fn key_bytes(&self) -> Option<&[u8]> {
        self.0.key.as_deref()
    }

    /// The value; `None` is a tombstone.
    pub fn value_bytes(&self) -> Option<&[u8]> {
        self.0.value.as_deref()
    }

    /// A record without key, value and headers. The topic must exist; it is not created.
    pub fn new(topic: impl Into<String>) -> Self {
        Self(types::Outgoing {
            topic: topic.into(),
            partition: None,
            timestamp_ms: None,
            key: None,
            value: None,
            headers: Vec::new(),
        })
    }

    /// Sets the number of the partition. Without it the producer chooses the partition: by the key,
    /// or for a record without a key any.
    pub fn partition(mut self, partition: i32) -> Self {
        self.0.partition = Some(partition);
        self
    }

    /// Sets the timestamp, in milliseconds since 1970-01-01 UTC and above 0. Without it, the
    /// timestamp is the time of the call.
    pub fn timestamp_ms(mut self, timestamp_ms: i64) -> Self {
        self.0.timestamp_ms = Some(timestamp_ms);
        self
    }

    /// Sets the key.
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.0.key = Some(key.into());
        self
    }

    /// Sets the value. A record without a value is a tombstone.
    pub fn value(mut self, value: impl Into<Vec<u8>>) -> Self {
        self.0.value = Some(value.into());
        self
    }

    /// Sets the value to the JSON of `value`.
    pub fn json(self, value: &impl Serialize) -> serde_json::Result<Self> {
        Ok(self.value(serde_json::to_vec(value)?))
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.0.headers.push(types::Header { name: name.into(), value: Some(value.into()) });
        self
    }

    /// Adds a header whose value is null.
    pub fn null_header(mut self, name: impl Into<String>) -> Self {
        self.0.headers.push(types::Header { name: name.into(), value: None });
        self
    }
}

/// Where the broker stored a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// Number of the partition.
    pub partition: i32,
    /// Offset of the record; `None` if the broker confirms the record without its offset.
    pub offset: Option<i64>,
}

/// Why a record was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The producer's queue is full. The record was not sent; try again later.
    #[error("the producer's queue is full")]
    QueueFull,
    /// There was no acknowledgement in time. The record may or may not have been written.
    #[error("no acknowledgement in time: {0}")]
    TimedOut(String),
    /// The broker cannot be reached, or too few replicas are in sync. The record may or may not
    /// have been written.
    #[error("Kafka is unavailable: {0}")]
    Unavailable(String),
    /// The record is larger than the topic allows. It was not written.
    #[error("the record is too large: {0}")]
    TooLarge(String),
    /// The broker refuses access for this client or to this topic, the topic or the partition does
    /// not exist, or a value of the record is not valid. The record was not written.
    #[error("the record is refused: {0}")]
    Refused(String),
    /// Any other error, with the text of the broker.
    #[error("the record was not acknowledged: {0}")]
    Other(String),
}

impl From<types::ProduceError> for SendError {
    fn from(error: types::ProduceError) -> Self {
        match error {
            types::ProduceError::QueueFull => Self::QueueFull,
            types::ProduceError::TimedOut(text) => Self::TimedOut(text),
            types::ProduceError::Unavailable(text) => Self::Unavailable(text),
            types::ProduceError::TooLarge(text) => Self::TooLarge(text),
            types::ProduceError::Refused(text) => Self::Refused(text),
            types::ProduceError::Other(text) => Self::Other(text),
        }
    }
}

/// Writes one record. Returns after the broker has acknowledged it.
pub async fn send(record: Outgoing) -> Result<Delivery, SendError> {
    let result = send_all([record]).await.into_iter().next();
    result.unwrap_or_else(|| Err(SendError::Other("the producer returned no result".into())))
}

/// Writes the records. Returns one result for each record, in the order of the records, after the
/// broker has acknowledged it or it has failed.
///
/// The records are independent: a record may be written although one before it failed. Records that
/// are written to the same partition keep their order.
pub async fn send_all(
    records: impl IntoIterator<Item = Outgoing>,
) -> Vec<Result<Delivery, SendError>> {
    let records = records.into_iter().map(|Outgoing(record)| record).collect();
    wit::send(records).await.into_iter().map(result).collect()
}

fn result(result: Result<types::Delivery, types::ProduceError>) -> Result<Delivery, SendError> {
    let types::Delivery { partition, offset } = result?;
    Ok(Delivery { partition, offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_what_was_set() {
        let Outgoing(record) = Outgoing::new("sales")
            .key("tv")
            .partition(3)
            .timestamp_ms(1)
            .json(&[1, 2])
            .unwrap()
            .header("source", "shop")
            .null_header("trace");
        assert_eq!(record.topic, "sales");
        assert_eq!((record.partition, record.timestamp_ms), (Some(3), Some(1)));
        assert_eq!(record.key.as_deref(), Some(&b"tv"[..]));
        assert_eq!(record.value.as_deref(), Some(&b"[1,2]"[..]));
        let [source, trace] = record.headers.as_slice() else { panic!("{:?}", record.headers) };
        assert_eq!((source.name.as_str(), source.value.as_deref()), ("source", Some(&b"shop"[..])));
        assert_eq!((trace.name.as_str(), trace.value.as_deref()), ("trace", None));

        let Outgoing(empty) = Outgoing::new("sales");
        assert_eq!((empty.partition, empty.timestamp_ms), (None, None));
        assert!(empty.key.is_none() && empty.value.is_none() && empty.headers.is_empty());
    }

    #[test]
    fn each_error_keeps_its_kind_and_its_text() {
        let text = || "why".to_owned();
        for (error, expected) in [
            (types::ProduceError::QueueFull, SendError::QueueFull),
            (types::ProduceError::TimedOut(text()), SendError::TimedOut(text())),
            (types::ProduceError::Unavailable(text()), SendError::Unavailable(text())),
            (types::ProduceError::TooLarge(text()), SendError::TooLarge(text())),
            (types::ProduceError::Refused(text()), SendError::Refused(text())),
            (types::ProduceError::Other(text()), SendError::Other(text())),
        ] {
            assert_eq!(SendError::from(error), expected);
        }
    }
}
