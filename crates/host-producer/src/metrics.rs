//! What the producer counts.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ProduceError;

/// Records given to the producer.
pub const RECORDS: &str = "kafka_producer_records_total";
/// Records that the broker acknowledged.
pub const DELIVERED: &str = "kafka_producer_delivered_total";
/// Calls refused because the queue was full.
pub const QUEUE_FULL: &str = "kafka_producer_queue_full_total";
/// Calls that failed otherwise.
pub const FAILED: &str = "kafka_producer_failed_total";

/// Kafka clients that failed for good and were replaced.
pub const REPLACED: &str = "kafka_producer_replaced_total";

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// The producer's counters; each is named by a constant of this module.
#[derive(Debug, Default)]
pub struct Metrics {
    /// [`RECORDS`].
    pub records: Counter,
    /// [`DELIVERED`].
    pub delivered: Counter,
    /// [`QUEUE_FULL`].
    pub queue_full: Counter,
    /// [`FAILED`].
    pub failed: Counter,
    /// [`REPLACED`].
    pub replaced: Counter,
}

impl Metrics {
    /// Every counter by its name.
    pub fn all(&self) -> [(&'static str, u64); 5] {
        [
            (RECORDS, self.records.get()),
            (DELIVERED, self.delivered.get()),
            (QUEUE_FULL, self.queue_full.get()),
            (FAILED, self.failed.get()),
            (REPLACED, self.replaced.get()),
        ]
    }

    pub(crate) fn count_replacement(&self) {
        self.replaced.add(1);
    }

    /// Counts a call of `records` records.
    pub(crate) fn count<T>(&self, records: usize, outcome: &Result<Vec<T>, ProduceError>) {
        self.records.add(records);
        match outcome {
            Ok(delivered) => self.delivered.add(delivered.len()),
            Err(ProduceError::QueueFull) => self.queue_full.add(1),
            Err(_) => self.failed.add(1),
        }
    }
}
