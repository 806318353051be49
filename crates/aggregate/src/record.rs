//! A batch's records, as they come and as they are kept.

use idempotency::Fingerprint;
use sale::Sale;

/// A record of the log.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its offset.
    pub offset: i64,
    /// When it was written, in milliseconds since 1970, if the log tells.
    pub timestamp_ms: Option<i64>,
    /// Its header `idempotency-key`.
    pub idempotency_key: Option<&'a [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// The offsets that a batch stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Where it begins.
    pub start: i64,
    /// The offset after it.
    pub end: i64,
    /// Whether it may be the first of its log: then no stored position is none lost.
    pub first: bool,
}

/// A record that is a sale.
#[derive(Debug)]
pub(crate) struct Entry {
    pub offset: i64,
    pub timestamp_ms: Option<i64>,
    pub sale: Sale,
    pub fingerprint: Option<Fingerprint>,
}

impl Entry {
    /// The record's sale; else what is wrong with it.
    pub fn of(record: Record<'_>) -> Result<Self, String> {
        let Record { offset, timestamp_ms, idempotency_key, value } = record;
        let value = value.ok_or("a tombstone is no sale")?;
        let sale = Sale::from_record_json(value).map_err(|e| e.to_string())?;
        let fingerprint = idempotency_key.map(|key| Fingerprint::of(key, value));
        Ok(Self { offset, timestamp_ms, sale, fingerprint })
    }
}
