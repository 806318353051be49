//! Shared parts of the tests: a model, and a real Valkey to compare with it.

pub mod content;
pub mod model;
pub mod store;

use aggregate::{NAMES, Namespace, OffsetRange, Record, RetentionLimits, Source, Update};
use sale::Sale;

/// The source of all records of the tests.
pub fn source() -> Source {
    Source {
        namespace: Namespace::fixed("", &NAMES).unwrap(),
        group: "g".into(),
        topic: "t".into(),
        log_id: "cluster/topic".into(),
        partition: 2,
    }
}

/// A record's idempotency key and value; without a value it is a tombstone.
pub type Line = (Option<String>, Option<Vec<u8>>);

/// The batch of the log's records from `start` to `end`. None is a tombstone.
pub fn batch(log: &[Option<Vec<u8>>], start: usize, end: usize) -> Update {
    let log: Vec<Line> = log.iter().map(|value| (None, value.clone())).collect();
    keyed_batch(&log, start, end, RetentionLimits::default())
}

/// The batch of the log's lines from `start` to `end`, which were written one second apart.
pub fn keyed_batch(log: &[Line], start: usize, end: usize, limits: RetentionLimits) -> Update {
    read(source(), log, start, end, limits)
}

/// The batch of the lines from `start` to `end` of this source's log.
pub fn read(
    source: Source,
    log: &[Line],
    start: usize,
    end: usize,
    limits: RetentionLimits,
) -> Update {
    let (start, end) = (start as i64, end as i64);
    let range = OffsetRange { start, end, expected_position: (start > 0).then_some(start) };
    read_range(source, log, range, limits)
}

/// The batch of the lines in this range of the source's log.
pub fn read_range(
    source: Source,
    log: &[Line],
    range: OffsetRange,
    limits: RetentionLimits,
) -> Update {
    let lines = log[range.start as usize..range.end as usize].iter().zip(range.start..);
    let records = lines.map(|((key, value), offset)| Record {
        offset,
        timestamp_ms: Some(offset * 1_000),
        idempotency_key: key.as_deref().map(str::as_bytes),
        value: value.as_deref(),
    });
    Update::from_records(source, range, limits, records)
}

/// The batch of one line with this timestamp.
pub fn timed(log: &[Line], offset: usize, timestamp_ms: Option<i64>) -> Update {
    let ((key, value), start) = (&log[offset], offset as i64);
    let record = Record {
        offset: start,
        timestamp_ms,
        idempotency_key: key.as_deref().map(str::as_bytes),
        value: value.as_deref(),
    };
    let expected_position = (start > 0).then_some(start);
    let range = OffsetRange { start, end: start + 1, expected_position };
    Update::from_records(source(), range, RetentionLimits::default(), [record])
}

/// A log that contains the same sale `length` times.
pub fn log_of(sale: &Sale, length: usize) -> Vec<Option<Vec<u8>>> {
    vec![Some(sale.to_json()); length]
}

/// One television.
pub fn television() -> Sale {
    Sale { category: 1, product_id: "tv".into(), price: 1.5, quantity: 1 }
}
