//! The size of a record.

use kafka_record::{Header, OutgoingRecord};

/// Maximum size of a record without its key, value and headers, in bytes.
const RECORD_OVERHEAD: usize = 36;

/// Maximum size of a header without its name and value, in bytes.
const HEADER_OVERHEAD: usize = 10;

/// Maximum size of the record in a batch before compression, in bytes.
pub fn bytes_max(record: &OutgoingRecord) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let header = |header: &Header| HEADER_OVERHEAD + header.name.len() + length(&header.value);
    let headers: usize = record.headers.iter().map(header).sum();
    RECORD_OVERHEAD + length(&record.key) + length(&record.value) + headers
}
