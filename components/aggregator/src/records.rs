//! The records of a batch, in the form in which they are counted.

use aggregate::{IDEMPOTENCY_KEY, PackedHeader, PackedRecord, Record};

use crate::bindings::exports::spin_kafka::events::packed_handler::{PackedBatch, Part};
use crate::bindings::spin_kafka::events::types::{Failure, Record as ListRecord};

/// A record with its own lists.
pub fn record(record: &ListRecord) -> Record<'_> {
    let key = record.headers.iter().find(|header| header.name == IDEMPOTENCY_KEY);
    Record {
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        idempotency_key: key.and_then(|header| header.value.as_deref()),
        value: record.value.as_deref(),
    }
}

/// The records of a packed batch. Fails if the host broke the rules of the interface; the records
/// are not at fault then and must not become dead letters.
pub fn unpack(batch: &PackedBatch) -> Result<Vec<Record<'_>>, Failure> {
    let headers = batch
        .headers
        .iter()
        .map(|header| PackedHeader { name: part(header.name), value: header.value.map(part) });
    let records = batch.records.iter().map(|record| PackedRecord {
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        value: record.value.map(part),
        headers: record.headers,
    });
    aggregate::unpack(&batch.content, headers, records).ok_or_else(|| {
        Failure::Fatal("the host passed a batch that lacks a part of its content".into())
    })
}

fn part(part: Part) -> aggregate::Part {
    aggregate::Part { start: part.start, length: part.length }
}
