//! The types of `spin-kafka:events` in the host: the records of `wit/spin-kafka-events`, which are
//! passed to the guest by reference, without a copy in the host. `events_0_1.rs` contains what
//! differs in version 0.1.0.

use std::time::Duration;

use host_producer::OutgoingRecord;
use spin_kafka_trigger as engine;
use wasmtime::component::{ComponentType, Lift, Lower};

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct HeaderRef<'a> {
    name: &'a str,
    value: Option<&'a [u8]>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct RecordRef<'a> {
    offset: i64,
    #[component(name = "timestamp-ms")]
    timestamp_ms: Option<i64>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: &'a [HeaderRef<'a>],
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct BatchRef<'a> {
    pub topic: &'a str,
    #[component(name = "log-id")]
    pub log_id: Option<&'a str>,
    pub partition: i32,
    pub group: &'a str,
    #[component(name = "expected-position")]
    pub expected_position: Option<i64>,
    pub start: i64,
    pub end: i64,
    pub attempt: u32,
    #[component(name = "time-limit-ms")]
    pub time_limit_ms: u32,
    pub records: Vec<RecordRef<'a>>,
}

/// The headers of all records of a batch, one after the other.
pub(crate) fn headers(batch: &engine::Batch) -> Vec<HeaderRef<'_>> {
    let headers = batch.records.iter().flat_map(|record| &record.headers);
    headers.map(|header| HeaderRef { name: &header.name, value: header.value.as_deref() }).collect()
}

/// The position of a component that continues results which another program counted up to the
/// group's committed offset.
pub(crate) const COMMITTED: i64 = -1;

/// The id of a log. The engine uses an empty string if the broker does not report an id.
pub(crate) fn log_id(id: &str) -> Option<&str> {
    (!id.is_empty()).then_some(id)
}

/// A time limit in milliseconds. One that does not fit means about 50 days.
pub(crate) fn limit_ms(limit: Duration) -> u32 {
    u32::try_from(limit.as_millis()).unwrap_or(u32::MAX)
}

impl<'a> BatchRef<'a> {
    /// `headers` are those of the batch.
    pub fn new(
        batch: &'a engine::Batch,
        headers: &'a [HeaderRef<'a>],
        time_limit: Duration,
    ) -> Self {
        let mut rest = headers;
        let record = |record: &'a engine::Message| RecordRef {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: rest.split_off(..record.headers.len()).unwrap_or_default(),
        };
        Self {
            topic: &batch.topic,
            log_id: log_id(&batch.log_id),
            partition: batch.partition,
            group: &batch.group,
            expected_position: batch.expected_position,
            start: batch.start,
            end: batch.end,
            attempt: batch.attempt,
            time_limit_ms: limit_ms(time_limit),
            records: batch.records.iter().map(record).collect(),
        }
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Rejection {
    offset: i64,
    reason: String,
}

impl From<Rejection> for engine::Rejection {
    fn from(rejection: Rejection) -> Self {
        Self { offset: rejection.offset, reason: rejection.reason }
    }
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(crate) enum Failure {
    #[component(name = "retry")]
    Retry(String),
    #[component(name = "rewind")]
    Rewind(i64),
    #[component(name = "lost")]
    Lost,
    #[component(name = "fatal")]
    Fatal(String),
}

impl From<Failure> for engine::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry(text) => Self::Retry(text),
            Failure::Rewind(position) => Self::Rewind(position),
            Failure::Lost => Self::Lost,
            Failure::Fatal(text) => Self::Fatal(text),
        }
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Header {
    pub name: String,
    pub value: Option<Vec<u8>>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Outgoing {
    pub topic: String,
    pub partition: Option<i32>,
    #[component(name = "timestamp-ms")]
    pub timestamp_ms: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<Header>,
}

/// The answer of a component that returns records.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct TransformAnswer {
    rejections: Vec<Rejection>,
    records: Vec<Outgoing>,
}

impl From<TransformAnswer> for engine::Answer {
    fn from(TransformAnswer { rejections, records }: TransformAnswer) -> Self {
        Self {
            rejections: rejections.into_iter().map(Into::into).collect(),
            records: records.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Delivery {
    pub partition: i32,
    pub offset: Option<i64>,
}

#[derive(ComponentType, Lower)]
#[component(variant)]
pub(crate) enum ProduceError {
    #[component(name = "queue-full")]
    QueueFull,
    #[component(name = "timed-out")]
    TimedOut(String),
    #[component(name = "unavailable")]
    Unavailable(String),
    #[component(name = "too-large")]
    TooLarge(String),
    #[component(name = "refused")]
    Refused(String),
    #[component(name = "other")]
    Other(String),
}

impl From<Header> for host_producer::Header {
    fn from(Header { name, value }: Header) -> Self {
        Self { name, value }
    }
}

impl From<Header> for engine::Header {
    fn from(Header { name, value }: Header) -> Self {
        Self { name: name.into(), value: value.map(Into::into) }
    }
}

impl From<Outgoing> for engine::OutgoingRecord {
    fn from(outgoing: Outgoing) -> Self {
        let Outgoing { topic, partition, timestamp_ms, key, value, headers } = outgoing;
        let headers = headers.into_iter().map(Into::into).collect();
        let (key, value) = (key.map(Into::into), value.map(Into::into));
        Self { topic: topic.into(), partition, timestamp_ms, key, value, headers }
    }
}

impl From<Outgoing> for OutgoingRecord {
    fn from(outgoing: Outgoing) -> Self {
        let Outgoing { topic, partition, timestamp_ms, key, value, headers } = outgoing;
        let headers = headers.into_iter().map(Into::into).collect();
        Self { topic, partition, timestamp_ms, key, value, headers }
    }
}

impl From<host_producer::Delivery> for Delivery {
    fn from(delivery: host_producer::Delivery) -> Self {
        Self { partition: delivery.partition, offset: delivery.offset }
    }
}

impl From<host_producer::ProduceError> for ProduceError {
    fn from(error: host_producer::ProduceError) -> Self {
        use host_producer::ProduceError as Native;
        match error {
            Native::QueueFull => Self::QueueFull,
            Native::TimedOut(text) => Self::TimedOut(text),
            Native::Unavailable(text) => Self::Unavailable(text),
            Native::TooLarge(text) => Self::TooLarge(text),
            Native::Refused(text) => Self::Refused(text),
            Native::Other(text) => Self::Other(text),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::Bytes;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(1_500);

    fn header(name: &str, value: Option<&[u8]>) -> engine::Header {
        engine::Header { name: name.into(), value: value.map(Bytes::copy_from_slice) }
    }

    /// A batch with a full record and one in which everything optional is missing.
    pub(crate) fn batch() -> engine::Batch {
        let full = engine::Message {
            offset: 5,
            timestamp_ms: Some(1_700_000_000_000),
            key: Some("tv-42".into()),
            value: Some("{}".into()),
            headers: vec![
                header("traceparent", Some(b"00")),
                header("twice", Some(b"")),
                header("twice", None),
            ],
        };
        let bare = engine::Message {
            offset: 8,
            timestamp_ms: None,
            key: None,
            value: None,
            headers: Vec::new(),
        };
        engine::Batch {
            topic: "sales".into(),
            log_id: "cluster/topic".into(),
            partition: 3,
            group: "counters".into(),
            expected_position: Some(3),
            start: 4,
            end: 9,
            attempt: 2,
            records: vec![full, bare],
        }
    }

    #[test]
    fn a_batch_is_passed_on_with_its_offsets() {
        let batch = batch();
        let headers = headers(&batch);
        let passed = BatchRef::new(&batch, &headers, LIMIT);
        assert_eq!((passed.topic, passed.log_id), ("sales", Some("cluster/topic")));
        assert_eq!((passed.partition, passed.group), (3, "counters"));
        assert_eq!((passed.expected_position, passed.start, passed.end), (Some(3), 4, 9));
        assert_eq!((passed.attempt, passed.time_limit_ms), (2, 1_500));
        let offsets: Vec<i64> = passed.records.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, [5, 8]);
    }

    #[test]
    fn keys_values_and_headers_are_passed_on_in_order_without_a_copy() {
        let batch = batch();
        let headers = headers(&batch);
        let passed = BatchRef::new(&batch, &headers, LIMIT);
        let (record, original) = (&passed.records[0], &batch.records[0]);
        assert_eq!(record.timestamp_ms, Some(1_700_000_000_000));
        assert_eq!((record.key, record.value), (Some(&b"tv-42"[..]), Some(&b"{}"[..])));
        assert_eq!(record.value.unwrap().as_ptr(), original.value.as_ref().unwrap().as_ptr());
        let passed_headers: Vec<_> = record.headers.iter().map(|h| (h.name, h.value)).collect();
        let expected = [("traceparent", Some(&b"00"[..])), ("twice", Some(b"")), ("twice", None)];
        assert_eq!(passed_headers, expected);
    }

    #[test]
    fn a_null_is_not_an_empty_value() {
        let batch = batch();
        let headers = headers(&batch);
        let passed = BatchRef::new(&batch, &headers, LIMIT);
        let bare = &passed.records[1];
        assert_eq!((bare.timestamp_ms, bare.key, bare.value), (None, None, None));
        assert!(bare.headers.is_empty());
        assert_eq!(passed.records[0].headers[1].value, Some(&b""[..]));
    }

    #[test]
    fn a_log_without_an_id_and_an_endless_limit_have_a_form() {
        assert_eq!((log_id(""), log_id("a")), (None, Some("a")));
        assert_eq!(limit_ms(Duration::MAX), u32::MAX);
    }

    #[test]
    fn failures_and_rejections_keep_their_meaning() {
        for (failure, expected) in [
            (Failure::Retry("busy".into()), engine::Failure::Retry("busy".into())),
            (Failure::Rewind(7), engine::Failure::Rewind(7)),
            (Failure::Lost, engine::Failure::Lost),
            (Failure::Fatal("broken".into()), engine::Failure::Fatal("broken".into())),
        ] {
            assert_eq!(engine::Failure::from(failure), expected);
        }
        let rejection = engine::Rejection::from(Rejection { offset: 5, reason: "bad".into() });
        assert_eq!((rejection.offset, rejection.reason.as_str()), (5, "bad"));
    }
}
