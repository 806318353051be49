//! The records of a batch, in the form in which they are counted.

use aggregate::Record;

use crate::bindings::exports::spin_kafka::events::packed_handler::{
    PackedBatch, PackedMessage, Part,
};
use crate::bindings::spin_kafka::events::types::{Failure, Message};

/// Name of the record header that identifies retries of the same request.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A record with its own lists.
pub fn record(message: &Message) -> Record<'_> {
    let key = message.headers.iter().find(|header| header.name == IDEMPOTENCY_KEY);
    Record {
        offset: message.offset,
        timestamp_ms: message.timestamp_ms,
        idempotency_key: key.and_then(|header| header.value.as_deref()),
        value: message.value.as_deref(),
    }
}

/// The records of a packed batch. Fails if the host broke the rules of the interface; the records
/// are not at fault then and must not become dead letters.
pub fn unpack(batch: &PackedBatch) -> Result<Vec<Record<'_>>, Failure> {
    let part = |part: &Part| {
        let rest = batch.content.get(part.start as usize..);
        rest.and_then(|rest| rest.get(..part.length as usize)).ok_or_else(missing)
    };
    let mut headers = batch.headers.as_slice();
    let record = |message: &PackedMessage| {
        let own = headers.split_off(..message.headers as usize).ok_or_else(missing)?;
        let mut idempotency_key = None;
        for header in own {
            if part(&header.name)? == IDEMPOTENCY_KEY.as_bytes() {
                idempotency_key = header.value.as_ref().map(part).transpose()?;
                break;
            }
        }
        Ok(Record {
            offset: message.offset,
            timestamp_ms: message.timestamp_ms,
            idempotency_key,
            value: message.value.as_ref().map(part).transpose()?,
        })
    };
    batch.messages.iter().map(record).collect()
}

fn missing() -> Failure {
    Failure::Fatal("the host passed a batch that lacks a part of its content".into())
}
