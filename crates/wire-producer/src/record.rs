//! How large a record is.

use produce::{Header, OutgoingRecord};

/// Most bytes of a record besides its key, value and headers.
const RECORD_OVERHEAD: usize = 36;

/// Most bytes of a header besides its name and value.
const HEADER_OVERHEAD: usize = 10;

/// Bytes that the record takes at most in a batch, before compression.
pub fn bytes_max(record: &OutgoingRecord) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let header = |header: &Header| HEADER_OVERHEAD + header.name.len() + length(&header.value);
    let headers: usize = record.headers.iter().map(header).sum();
    RECORD_OVERHEAD + length(&record.key) + length(&record.value) + headers
}
