//! The records of a batch, in the form in which they are counted.

use aggregate::{IDEMPOTENCY_KEY, PackedHeader, PackedMessage, Record};

use crate::bindings::exports::spin_kafka::events::packed_handler::{PackedBatch, Part};
use crate::bindings::spin_kafka::events::types::{Failure, Message};

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
    let headers = batch
        .headers
        .iter()
        .map(|header| PackedHeader { name: part(header.name), value: header.value.map(part) });
    let messages = batch.messages.iter().map(|message| PackedMessage {
        offset: message.offset,
        timestamp_ms: message.timestamp_ms,
        value: message.value.map(part),
        headers: message.headers,
    });
    aggregate::unpack(&batch.content, headers, messages).ok_or_else(|| {
        Failure::Fatal("the host passed a batch that lacks a part of its content".into())
    })
}

fn part(part: Part) -> aggregate::Part {
    aggregate::Part { start: part.start, length: part.length }
}
