//! The records of a batch, before and after they are parsed.

use idempotency::Fingerprint;
use sale::Sale;

/// A record of the log.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The record's offset.
    pub offset: i64,
    /// When it was written, in milliseconds since 1970; None if the record has no timestamp.
    pub timestamp_ms: Option<i64>,
    /// The value of its header `idempotency-key`.
    pub idempotency_key: Option<&'a [u8]>,
    /// The record's value; None for a tombstone.
    pub value: Option<&'a [u8]>,
}

/// The range of offsets of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetRange {
    /// The first offset.
    pub start: i64,
    /// The offset after the last one.
    pub end: i64,
    /// The position that is stored if nothing was lost; None if nothing of the log was applied yet.
    /// If there is one, but none is stored, the store has lost everything.
    pub expected_position: Option<i64>,
}

/// A record that contains a valid sale.
#[derive(Debug)]
pub(crate) struct Entry {
    pub offset: i64,
    pub timestamp_ms: Option<i64>,
    pub sale: Sale,
    pub fingerprint: Option<Fingerprint>,
}

impl Entry {
    /// Parses a record. The error says why it is not a valid sale.
    pub fn parse(record: Record<'_>) -> Result<Self, String> {
        let Record { offset, timestamp_ms, idempotency_key, value } = record;
        let value = value.ok_or("a tombstone is not a sale")?;
        let sale = Sale::from_record_json(value).map_err(|e| e.to_string())?;
        let fingerprint = idempotency_key.map(|key| Fingerprint::new(key, value));
        Ok(Self { offset, timestamp_ms, sale, fingerprint })
    }
}
