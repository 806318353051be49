//! The types of `spin-kafka:events` in the host: the records of `wit/spin-kafka-events-0.1`, which
//! are passed to the guest by reference, without a copy in the host.

use spin_kafka_trigger as engine;
use wasmtime::component::{ComponentType, Lift, Lower};

/// The interface that receives batches.
pub(crate) const HANDLER: &str = "spin-kafka:events/handler@0.1.0";
/// The interface of a component that keeps its own offsets.
pub(crate) const CHECKPOINT: &str = "spin-kafka:events/checkpoint@0.1.0";
/// The interface that writes records.
pub(crate) const PRODUCER: &str = "spin-kafka:events/producer@0.1.0";

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct HeaderRef<'a> {
    name: &'a str,
    value: Option<&'a [u8]>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct MessageRef<'a> {
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
    topic: &'a str,
    #[component(name = "log-id")]
    log_id: &'a str,
    partition: i32,
    first: bool,
    start: i64,
    end: i64,
    messages: Vec<MessageRef<'a>>,
}

/// The headers of all records of a batch, one after the other.
pub(crate) fn headers(batch: &engine::Batch) -> Vec<HeaderRef<'_>> {
    let headers = batch.messages.iter().flat_map(|message| &message.headers);
    headers.map(|header| HeaderRef { name: &header.name, value: header.value.as_deref() }).collect()
}

impl<'a> BatchRef<'a> {
    /// `headers` are those of the batch.
    pub fn new(batch: &'a engine::Batch, headers: &'a [HeaderRef<'a>]) -> Self {
        let mut rest = headers;
        let message = |message: &'a engine::Message| MessageRef {
            offset: message.offset,
            timestamp_ms: message.timestamp_ms,
            key: message.key.as_deref(),
            value: message.value.as_deref(),
            headers: rest.split_off(..message.headers.len()).unwrap_or_default(),
        };
        Self {
            topic: &batch.topic,
            log_id: &batch.log_id,
            partition: batch.partition,
            first: batch.first,
            start: batch.start,
            end: batch.end,
            messages: batch.messages.iter().map(message).collect(),
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
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<Header>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Delivery {
    pub partition: i32,
    pub offset: i64,
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn header(name: &str, value: Option<&[u8]>) -> engine::Header {
        engine::Header { name: name.into(), value: value.map(Bytes::copy_from_slice) }
    }

    /// A batch with a full record and one in which everything optional is missing.
    fn batch() -> engine::Batch {
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
            first: true,
            start: 4,
            end: 9,
            messages: vec![full, bare],
        }
    }

    #[test]
    fn a_batch_is_passed_on_with_its_offsets() {
        let batch = batch();
        let headers = headers(&batch);
        let passed = BatchRef::new(&batch, &headers);
        assert_eq!((passed.topic, passed.log_id, passed.partition), ("sales", "cluster/topic", 3));
        assert_eq!((passed.first, passed.start, passed.end), (true, 4, 9));
        let offsets: Vec<i64> = passed.messages.iter().map(|message| message.offset).collect();
        assert_eq!(offsets, [5, 8]);
    }

    #[test]
    fn keys_values_and_headers_are_passed_on_in_order_without_a_copy() {
        let batch = batch();
        let headers = headers(&batch);
        let passed = BatchRef::new(&batch, &headers);
        let (message, original) = (&passed.messages[0], &batch.messages[0]);
        assert_eq!(message.timestamp_ms, Some(1_700_000_000_000));
        assert_eq!((message.key, message.value), (Some(&b"tv-42"[..]), Some(&b"{}"[..])));
        assert_eq!(message.value.unwrap().as_ptr(), original.value.as_ref().unwrap().as_ptr());
        let passed_headers: Vec<_> = message.headers.iter().map(|h| (h.name, h.value)).collect();
        let expected = [("traceparent", Some(&b"00"[..])), ("twice", Some(b"")), ("twice", None)];
        assert_eq!(passed_headers, expected);
    }

    #[test]
    fn a_null_is_not_an_empty_value() {
        let batch = batch();
        let headers = headers(&batch);
        let passed = BatchRef::new(&batch, &headers);
        let bare = &passed.messages[1];
        assert_eq!((bare.timestamp_ms, bare.key, bare.value), (None, None, None));
        assert!(bare.headers.is_empty());
        assert_eq!(passed.messages[0].headers[1].value, Some(&b""[..]));
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
