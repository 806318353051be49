//! The update's tests: a model, and a real Valkey to compare it with.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

pub mod content;
pub mod model;
pub mod store;

use aggregate::{Source, Update};
use sale::Sale;

/// Where all records of the tests come from.
pub fn source() -> Source {
    Source { group: "g".into(), topic: "t".into(), log_id: "cluster/topic".into(), partition: 2 }
}

/// The batch of the log's records from `start` to `end`; none is a tombstone.
pub fn batch(log: &[Option<Vec<u8>>], start: usize, end: usize) -> Update {
    let records = log[start..end].iter().zip(start as i64..);
    let records = records.map(|(value, offset)| (offset, value.as_deref()));
    Update::read(source(), (start as i64, end as i64), records)
}

/// A log of the same sale over and over.
pub fn log_of(sale: &Sale, length: usize) -> Vec<Option<Vec<u8>>> {
    vec![Some(sale.to_json()); length]
}

/// One television.
pub fn television() -> Sale {
    Sale { category: 1, product_id: "tv".into(), price: 1.5, quantity: 1 }
}
