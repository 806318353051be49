//! A handler that counts what it applied.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use spin_kafka_trigger::{Batch, Failure, Handler, Position, Rejection};

/// How often each record was applied, by all handlers that share the ledger, and the batches that
/// did not begin where another ended.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    applied: HashMap<(i32, i64), usize>,
    ends: HashMap<i32, i64>,
    breaks: Vec<String>,
}

impl Ledger {
    /// Different records applied so far.
    pub fn records(&self) -> usize {
        self.0.lock().unwrap().applied.len()
    }

    /// Records applied more than once.
    pub fn repeated(&self) -> usize {
        self.0.lock().unwrap().applied.values().filter(|times| **times > 1).count()
    }

    /// Batches that did not begin where the partition's last one ended.
    pub fn breaks(&self) -> Vec<String> {
        self.0.lock().unwrap().breaks.clone()
    }
}

impl Handler for Ledger {
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        tokio::task::yield_now().await;
        let mut book = self.0.lock().unwrap();
        let Batch { partition, start, end, .. } = *batch;
        let expected = book.ends.insert(partition, end).unwrap_or(0);
        if expected != start {
            book.breaks.push(format!("partition {partition}: {expected} before {start}..{end}"));
        }
        for message in &batch.records {
            *book.applied.entry((partition, message.offset)).or_default() += 1;
        }
        Ok(Vec::new())
    }

    async fn position(&self, _: &str, _: &str, _: &str, _: i32) -> Result<Position, Failure> {
        Ok(Position::Committed)
    }
}
