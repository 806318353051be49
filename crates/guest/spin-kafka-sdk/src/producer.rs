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

use crate::bindings::handler::spin_kafka::events::types::Header;
use crate::bindings::producer::spin_kafka::events::producer as wit;

/// A record to write.
#[derive(Debug, Clone)]
pub struct Outgoing(wit::Outgoing);

impl Outgoing {
    /// A record without key, value and headers. The topic must exist; it is not created.
    pub fn new(topic: impl Into<String>) -> Self {
        let topic = topic.into();
        Self(wit::Outgoing { topic, key: None, value: None, headers: Vec::new() })
    }

    /// Sets the key. Without a key the producer chooses the partition.
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
        self.0.headers.push(Header { name: name.into(), value: Some(value.into()) });
        self
    }

    /// Adds a header whose value is null.
    pub fn null_header(mut self, name: impl Into<String>) -> Self {
        self.0.headers.push(Header { name: name.into(), value: None });
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
    /// The broker refuses access for this client or to this topic. The record was not written.
    #[error("the broker refuses access: {0}")]
    Refused(String),
    /// Any other error, with the text of the broker.
    #[error("the record was not acknowledged: {0}")]
    Other(String),
}

impl From<wit::ProduceError> for SendError {
    fn from(error: wit::ProduceError) -> Self {
        match error {
            wit::ProduceError::QueueFull => Self::QueueFull,
            wit::ProduceError::TimedOut(text) => Self::TimedOut(text),
            wit::ProduceError::Unavailable(text) => Self::Unavailable(text),
            wit::ProduceError::TooLarge(text) => Self::TooLarge(text),
            wit::ProduceError::Refused(text) => Self::Refused(text),
            wit::ProduceError::Other(text) => Self::Other(text),
        }
    }
}

/// Writes one record. Returns after the broker has acknowledged it.
pub async fn send(record: Outgoing) -> Result<Delivery, SendError> {
    let delivery = send_all([record]).await?.into_iter().next();
    delivery.ok_or_else(|| SendError::Other("the producer returned no delivery".into()))
}

/// Writes the records. Returns after the broker has acknowledged all of them, with the deliveries
/// in the order of the records.
///
/// Records with the same key keep their order. After an error some of the records may have been
/// written; to know which, send them one at a time.
pub async fn send_all(
    records: impl IntoIterator<Item = Outgoing>,
) -> Result<Vec<Delivery>, SendError> {
    let records = records.into_iter().map(|Outgoing(record)| record).collect();
    let deliveries = wit::send(records).await?;
    Ok(deliveries.into_iter().map(delivery).collect())
}

fn delivery(delivery: wit::Delivery) -> Delivery {
    let offset = (delivery.offset >= 0).then_some(delivery.offset);
    Delivery { partition: delivery.partition, offset }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_what_was_set() {
        let Outgoing(record) = Outgoing::new("sales")
            .key("tv")
            .json(&[1, 2])
            .unwrap()
            .header("source", "shop")
            .null_header("trace");
        assert_eq!(record.topic, "sales");
        assert_eq!(record.key.as_deref(), Some(&b"tv"[..]));
        assert_eq!(record.value.as_deref(), Some(&b"[1,2]"[..]));
        let [source, trace] = record.headers.as_slice() else { panic!("{:?}", record.headers) };
        assert_eq!((source.name.as_str(), source.value.as_deref()), ("source", Some(&b"shop"[..])));
        assert_eq!((trace.name.as_str(), trace.value.as_deref()), ("trace", None));

        let Outgoing(empty) = Outgoing::new("sales");
        assert!(empty.key.is_none() && empty.value.is_none() && empty.headers.is_empty());
    }

    #[test]
    fn a_negative_offset_is_an_unknown_one() {
        let offset = |offset| delivery(wit::Delivery { partition: 3, offset });
        assert_eq!(offset(0), Delivery { partition: 3, offset: Some(0) });
        assert_eq!(offset(-1), Delivery { partition: 3, offset: None });
    }

    #[test]
    fn each_error_keeps_its_kind_and_its_text() {
        let text = || "why".to_owned();
        for (error, expected) in [
            (wit::ProduceError::QueueFull, SendError::QueueFull),
            (wit::ProduceError::TimedOut(text()), SendError::TimedOut(text())),
            (wit::ProduceError::Unavailable(text()), SendError::Unavailable(text())),
            (wit::ProduceError::TooLarge(text()), SendError::TooLarge(text())),
            (wit::ProduceError::Refused(text()), SendError::Refused(text())),
            (wit::ProduceError::Other(text()), SendError::Other(text())),
        ] {
            assert_eq!(SendError::from(error), expected);
        }
    }
}
