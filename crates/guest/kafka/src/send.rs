//! Sends records through `spin-kafka:events/producer`.

use guest_http::report;
use intake::{IntakeError, all_acknowledged};
use sale::Violation;

use crate::bindings::spin_kafka::events::producer;
use crate::bindings::spin_kafka::events::types::{Header, Outgoing, ProduceError};

/// A record to write.
pub struct Record {
    /// The topic. It must exist.
    pub topic: String,
    /// The key; without one, the producer chooses the partition.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Vec<u8>,
    /// The headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Sends records and waits for the broker's acknowledgements. [`all_acknowledged`] combines the
/// results of the records.
pub async fn send(records: Vec<Record>) -> Result<(), IntakeError> {
    all_acknowledged(send_each(records).await)
}

/// The same, with the result of each record, in their order.
pub async fn send_each(records: Vec<Record>) -> Vec<Result<(), IntakeError>> {
    let count = records.len();
    if count == 0 {
        return Vec::new();
    }
    let results = producer::send(records.into_iter().map(outgoing).collect()).await;
    if results.len() != count {
        let text = "the producer did not return a result for each record";
        return vec![Err(IntakeError::Other(text.into())); count];
    }
    results.into_iter().map(|result| result.map(drop).map_err(failure)).collect()
}

fn outgoing(record: Record) -> Outgoing {
    let header = |(name, value)| Header { name, value: Some(value) };
    Outgoing {
        topic: record.topic,
        partition: None,
        timestamp_ms: None,
        key: record.key,
        value: Some(record.value),
        headers: record.headers.into_iter().map(header).collect(),
    }
}

fn failure(error: ProduceError) -> IntakeError {
    match error {
        ProduceError::QueueFull => {
            IntakeError::Overloaded("the producer's queue is full; try again later".into())
        }
        ProduceError::TimedOut(text) => IntakeError::TimedOut(text),
        ProduceError::Unavailable(text) => IntakeError::Unavailable(text),
        ProduceError::TooLarge(text) => {
            // The text names the topic and the brokers, so it is logged but not sent to the client.
            report(&IntakeError::Other(text));
            IntakeError::Invalid(Violation::new("body", "is longer than the topic allows"))
        }
        ProduceError::Refused(text) | ProduceError::Other(text) => IntakeError::Other(text),
    }
}
