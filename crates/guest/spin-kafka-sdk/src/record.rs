//! A record of the log.

use std::fmt::Display;
use std::sync::Arc;

use crate::bindings::handler::spin_kafka::events::types;
use crate::{Error, Rejection};

/// A record of the log.
#[derive(Debug, Clone)]
pub struct Record {
    topic: Arc<str>,
    partition: i32,
    content: types::Record,
}

impl Record {
    /// A record without key, value, headers and timestamp, for tests of a handler.
    pub fn new(topic: &str, partition: i32, offset: i64) -> Self {
        let (timestamp_ms, key, value, headers) = (None, None, None, Vec::new());
        let content = types::Record { offset, timestamp_ms, key, value, headers };
        Self::received(topic.into(), partition, content)
    }

    pub(crate) fn received(topic: Arc<str>, partition: i32, content: types::Record) -> Self {
        Self { topic, partition, content }
    }

    /// Sets the key.
    pub fn with_key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.content.key = Some(key.into());
        self
    }

    /// Sets the value.
    pub fn with_value(mut self, value: impl Into<Vec<u8>>) -> Self {
        self.content.value = Some(value.into());
        self
    }

    /// Sets the timestamp, in milliseconds since 1970-01-01 UTC.
    pub fn with_timestamp_ms(mut self, timestamp_ms: i64) -> Self {
        self.content.timestamp_ms = Some(timestamp_ms);
        self
    }

    /// Adds a header.
    pub fn with_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.content.headers.push(types::Header { name: name.into(), value: Some(value.into()) });
        self
    }

    /// Adds a header whose value is null.
    pub fn with_null_header(mut self, name: &str) -> Self {
        self.content.headers.push(types::Header { name: name.into(), value: None });
        self
    }

    /// Name of the topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Number of the partition.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Offset in the partition.
    pub fn offset(&self) -> i64 {
        self.content.offset
    }

    /// Timestamp in milliseconds since 1970-01-01 UTC, if the record has one.
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.content.timestamp_ms
    }

    /// The key, if there is one.
    pub fn key(&self) -> Option<&[u8]> {
        self.content.key.as_deref()
    }

    /// The value; `None` for a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        self.content.value.as_deref()
    }

    /// The headers in their order. A value of `None` is Kafka's null, which differs from an empty
    /// value.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.content.headers.iter().map(|header| (header.name.as_str(), header.value.as_deref()))
    }

    /// The value of the first header with this name; `None` also if that is null.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().find(|(found, _)| *found == name)?.1
    }

    /// The record as it was received.
    #[doc(hidden)]
    pub fn content(&self) -> &types::Record {
        &self.content
    }

    /// The value, parsed as JSON. The error rejects the record. A struct must be an object: an array
    /// with the values of its fields is refused, except within the types that
    /// [`spin-kafka-json`](https://docs.rs/spin-kafka-json) lists.
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, Error> {
        let value = self.value().ok_or_else(|| Error::reject("the record has no value"))?;
        strict_json::from_slice(value)
            .map_err(|error| Error::reject(format_args!("the value is not as expected: {error}")))
    }

    /// Rejects this record, in the answer of a batch handler.
    pub fn reject(&self, reason: impl Display) -> Rejection {
        Rejection::new(self.offset(), reason)
    }
}

/// A value that is taken from a record, as a parameter of a [`record`](macro@crate::record)
/// handler.
///
/// ```
/// use spin_kafka_sdk::{self as kafka, FromRecord, OrFail as _, Record};
///
/// struct Customer(String);
///
/// impl FromRecord<'_> for Customer {
///     fn from_record(record: &Record) -> Result<Self, kafka::Error> {
///         let key = record.key().ok_or("a record without key").or_reject()?;
///         Ok(Self(std::str::from_utf8(key).or_reject()?.to_owned()))
///     }
/// }
///
/// #[kafka::record]
/// fn handle(customer: Customer) {
///     tracing::info!(customer = customer.0);
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not taken from a record",
    label = "expected `&Record`, `Json<T>`, or a type with `FromRecord`"
)]
pub trait FromRecord<'a>: Sized {
    /// Takes the value. An [`Error::Reject`] rejects the record; after any other error the batch
    /// is retried.
    fn from_record(record: &'a Record) -> Result<Self, Error>;
}

impl<'a> FromRecord<'a> for &'a Record {
    fn from_record(record: &'a Record) -> Result<Self, Error> {
        Ok(record)
    }
}
