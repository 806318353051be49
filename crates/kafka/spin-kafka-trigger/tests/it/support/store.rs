//! A handler that keeps its position, like an atomic store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use spin_kafka_trigger::{Batch, Failure, Handler, Position, Rejection};

/// A handler that keeps a position in each log, like an atomic store.
#[derive(Clone, Default)]
pub struct Store(Arc<Mutex<HashMap<String, Log>>>);

#[derive(Clone, Default)]
struct Log {
    position: i64,
    applied: Vec<i64>,
    values: Vec<Vec<u8>>,
}

impl Store {
    /// Records applied, log by log, the longest first.
    pub fn applied(&self) -> Vec<Vec<i64>> {
        let mut logs: Vec<_> =
            self.0.lock().unwrap().values().map(|log| log.applied.clone()).collect();
        logs.sort_by_key(|log| std::cmp::Reverse(log.len()));
        logs
    }

    pub fn total(&self) -> usize {
        self.0.lock().unwrap().values().map(|log| log.applied.len()).sum()
    }
}

impl Store {
    /// How often a record with this value was applied, in any log.
    pub fn times(&self, value: &str) -> usize {
        let logs = self.0.lock().unwrap();
        let values = logs.values().flat_map(|log| &log.values);
        values.filter(|applied| *applied == value.as_bytes()).count()
    }
}

impl Handler for Store {
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        let mut logs = self.0.lock().unwrap();
        let log = logs.entry(batch.log_id.to_string()).or_default();
        if log.position < batch.start && batch.expected_position.is_some() {
            return Err(Failure::Rewind(log.position));
        }
        let position = log.position;
        for message in batch.records.iter().filter(|message| message.offset >= position) {
            log.applied.push(message.offset);
            log.values.push(message.value.as_deref().unwrap_or_default().to_vec());
        }
        log.position = log.position.max(batch.end);
        Ok(Vec::new())
    }

    async fn position(&self, _: &str, _: &str, log_id: &str, _: i32) -> Result<Position, Failure> {
        let logs = self.0.lock().unwrap();
        Ok(logs.get(log_id).map_or(Position::Start, |log| Position::At(log.position)))
    }
}
