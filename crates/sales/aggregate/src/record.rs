//! The records of a batch, before and after they are parsed.

use sale::Sale;
use spin_kafka_state::Fingerprint;

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
