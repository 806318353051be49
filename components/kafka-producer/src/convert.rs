//! Conversions between the types of the interface and those of the producer.

use crate::bindings::exports::spin_kafka::events::producer::{Delivery, Outgoing, ProduceError};

pub fn record(record: Outgoing) -> wasm_producer::OutgoingRecord {
    let Outgoing { topic, key, value, headers } = record;
    let headers = headers
        .into_iter()
        .map(|header| wasm_producer::Header { name: header.name, value: header.value })
        .collect();
    wasm_producer::OutgoingRecord { topic, key, value, headers }
}

pub fn delivery(delivery: wasm_producer::Delivery) -> Delivery {
    let wasm_producer::Delivery { partition, offset } = delivery;
    Delivery { partition, offset }
}

pub fn error(error: wasm_producer::ProduceError) -> ProduceError {
    use wasm_producer::ProduceError as Error;
    match error {
        Error::QueueFull => ProduceError::QueueFull,
        Error::TimedOut(text) => ProduceError::TimedOut(text),
        Error::Unavailable(text) => ProduceError::Unavailable(text),
        Error::TooLarge(text) => ProduceError::TooLarge(text),
        Error::Refused(text) => ProduceError::Refused(text),
        Error::Other(text) => ProduceError::Other(text),
    }
}
