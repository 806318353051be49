//! Conversions between the types of the interface and those of the producer.

use crate::bindings::exports::spin_kafka::events::producer::{Delivery, Outgoing, ProduceError};

pub fn record(record: Outgoing) -> wire_producer::OutgoingRecord {
    let Outgoing { topic, key, value, headers } = record;
    let headers = headers
        .into_iter()
        .map(|header| wire_producer::Header { name: header.name, value: header.value })
        .collect();
    wire_producer::OutgoingRecord { topic, key, value, headers }
}

pub fn delivery(delivery: wire_producer::Delivery) -> Delivery {
    let wire_producer::Delivery { partition, offset } = delivery;
    Delivery { partition, offset }
}

pub fn error(error: wire_producer::ProduceError) -> ProduceError {
    use wire_producer::ProduceError as Error;
    match error {
        Error::QueueFull => ProduceError::QueueFull,
        Error::TimedOut(text) => ProduceError::TimedOut(text),
        Error::Unavailable(text) => ProduceError::Unavailable(text),
        Error::TooLarge(text) => ProduceError::TooLarge(text),
        Error::Refused(text) => ProduceError::Refused(text),
        Error::Other(text) => ProduceError::Other(text),
    }
}
