//! The types of `spin-kafka:events` in the host: the records of `wit/spin-kafka-events`, which are
//! passed to the guest by reference, without a copy in the host.

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
    headers: Vec<HeaderRef<'a>>,
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

impl<'a> From<&'a engine::Batch> for BatchRef<'a> {
    fn from(batch: &'a engine::Batch) -> Self {
        Self {
            topic: &batch.topic,
            log_id: &batch.log_id,
            partition: batch.partition,
            first: batch.first,
            start: batch.start,
            end: batch.end,
            messages: batch.messages.iter().map(MessageRef::from).collect(),
        }
    }
}

impl<'a> From<&'a engine::Message> for MessageRef<'a> {
    fn from(message: &'a engine::Message) -> Self {
        Self {
            offset: message.offset,
            timestamp_ms: message.timestamp_ms,
            key: message.key.as_deref(),
            value: message.value.as_deref(),
            headers: message
                .headers
                .iter()
                .map(|header| HeaderRef { name: &header.name, value: header.value.as_deref() })
                .collect(),
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
