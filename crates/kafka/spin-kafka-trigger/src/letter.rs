//! A dead letter: a record that was given up, in the form in which it is written to its dead-letter
//! topic.

use std::borrow::Cow;

use bytes::Bytes;
use rdkafka::message::{Header, OwnedHeaders};

use crate::{Batch, FailureClass, Message, record};

/// A letter for a longer record is written without the record at once, because the whole letter
/// would not fit into one request to the broker (`socket.request.max.bytes`, 100 MiB by default).
const RECORD_BYTES_MAX: usize = 90_000_000;
/// The longest reason in a header; the backtrace of a trap may be long.
const REASON_BYTES_MAX: usize = 4 * 1024;
/// The longest key of a letter that is written without its record.
const KEY_BYTES_MAX: usize = 1024;

/// The headers that the engine adds to a dead letter.
pub mod headers {
    /// The consumer group.
    pub const GROUP: &str = "spin-kafka.errors.group";
    /// When the record was given up, as an RFC 3339 time.
    pub const TIME: &str = "spin-kafka.errors.time";
    /// Number of failed attempts that the record was part of.
    pub const ATTEMPTS: &str = "spin-kafka.errors.attempts";
    /// The [`FailureClass`](crate::FailureClass).
    pub const CLASS: &str = "spin-kafka.errors.class";
    /// The record's own timestamp in milliseconds since 1970-01-01 UTC.
    pub const TIMESTAMP: &str = "spin-kafka.errors.timestamp";
    /// Number of bytes of the record's key, value and headers. Only on a letter that is written
    /// without its record because the dead-letter topic does not accept the whole letter: it has no
    /// value, none of the record's headers, and no key above 1 KiB.
    pub const OMITTED_BYTES: &str = "spin-kafka.errors.omitted-bytes";
    /// The topic that the record was read from; Kafka Connect's header.
    pub const TOPIC: &str = "__connect.errors.topic";
    /// The partition that the record was read from; Kafka Connect's header.
    pub const PARTITION: &str = "__connect.errors.partition";
    /// The offset of the record; Kafka Connect's header.
    pub const OFFSET: &str = "__connect.errors.offset";
    /// Why the record was given up; Kafka Connect's header.
    pub const REASON: &str = "__connect.errors.exception.message";

    /// The prefixes of the names of headers that describe the error.
    pub const PREFIXES: [&str; 3] =
        ["spin-kafka.errors.", "__connect.errors.", "__streams.errors."];
}

/// A record that was given up, and the reason.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    /// The batch, or the part of one, that contained the record.
    pub batch: &'a Batch,
    /// The record.
    pub record: &'a Message,
    /// Why it was given up.
    pub class: FailureClass,
    /// Number of failed attempts that the record was part of.
    pub attempts: u32,
    /// The reason, for the operator.
    pub reason: &'a str,
}

impl Letter<'_> {
    /// The headers of a whole letter: the headers of the record, then those that describe the
    /// error.
    pub(crate) fn headers(&self, group: &str) -> OwnedHeaders {
        self.describe(record::headers(self.record.headers.iter()), group)
    }

    /// The headers of a letter without its record: those that describe the error, and the record's
    /// size.
    pub(crate) fn headers_without_record(&self, group: &str) -> OwnedHeaders {
        let bytes = self.record.content_bytes().to_string();
        let header = Header { key: headers::OMITTED_BYTES, value: Some(&bytes) };
        self.describe(OwnedHeaders::new(), group).insert(header)
    }

    /// Whether the record is so long that the letter must be written without it.
    pub(crate) fn is_too_long(&self) -> bool {
        self.record.content_bytes() > RECORD_BYTES_MAX
    }

    /// The key of a letter without its record; `None` if it is too long.
    pub(crate) fn short_key(&self) -> Option<&Bytes> {
        self.record.key.as_ref().filter(|key| key.len() <= KEY_BYTES_MAX)
    }

    /// Reports that the letter is written without its record.
    pub(crate) fn warn_short(&self, dead_letter_topic: &str) {
        tracing::warn!(
            topic = %self.batch.topic,
            partition = self.batch.partition,
            offset = self.record.offset,
            bytes = self.record.content_bytes(),
            dead_letter_topic,
            "the dead-letter topic does not accept the whole record: the letter contains only its \
             position, its size and the reason. Raise the topic's max.message.bytes to keep the \
             next one"
        );
    }

    /// Adds the headers that describe the error. The timestamp of the letter is the time when it is
    /// written, so that the topic's retention time begins then.
    fn describe(&self, all: OwnedHeaders, group: &str) -> OwnedHeaders {
        self.description(group)
            .into_iter()
            .fold(all, |all, (key, value)| all.insert(Header { key, value: Some(value.as_ref()) }))
    }

    /// The headers that describe the error: the engine's own, those of Kafka Connect and those of
    /// Kafka Streams (KIP-1034). The reason is included once, under Kafka Connect's name.
    pub fn description<'b>(&'b self, group: &'b str) -> Vec<(&'static str, Cow<'b, str>)> {
        let Self { batch, record, class, attempts, .. } = self;
        let topic = &*batch.topic;
        let (partition, offset) = (batch.partition.to_string(), record.offset.to_string());
        let class = class.to_string();
        let exception = format!("spin-kafka.{class}");
        let mut described = vec![
            (headers::GROUP, group.into()),
            (headers::TIME, jiff::Timestamp::now().to_string().into()),
            (headers::ATTEMPTS, attempts.to_string().into()),
            (headers::CLASS, class.into()),
            (headers::TOPIC, topic.into()),
            (headers::PARTITION, partition.clone().into()),
            (headers::OFFSET, offset.clone().into()),
            ("__connect.errors.connector.name", group.into()),
            ("__connect.errors.stage", "TASK_PUT".into()),
            ("__connect.errors.exception.class.name", exception.clone().into()),
            (headers::REASON, self.short_reason().into()),
            ("__streams.errors.topic", topic.into()),
            ("__streams.errors.partition", partition.into()),
            ("__streams.errors.offset", offset.into()),
            ("__streams.errors.exception", exception.into()),
        ];
        if let Some(timestamp) = record.timestamp_ms {
            described.push((headers::TIMESTAMP, timestamp.to_string().into()));
        }
        described
    }

    fn short_reason(&self) -> &str {
        let end = self.reason.floor_char_boundary(REASON_BYTES_MAX);
        self.reason.get(..end).unwrap_or_default()
    }
}
