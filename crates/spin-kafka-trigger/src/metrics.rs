//! What the engine counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Records handed to the handler and applied.
pub const RECORDS: &str = "spin_kafka_records_total";
/// Batches applied.
pub const BATCHES: &str = "spin_kafka_batches_total";
/// Records the handler refused.
pub const REJECTIONS: &str = "spin_kafka_rejections_total";
/// Failed attempts, of a batch or of asking for a position, that were followed by another.
pub const RETRIES: &str = "spin_kafka_retries_total";
/// Times the handler's store was behind and the engine went back.
pub const REWINDS: &str = "spin_kafka_rewinds_total";
/// Assignments and revocations.
pub const REBALANCES: &str = "spin_kafka_rebalances_total";
/// Offsets that the log no longer held when they were to be read.
pub const RECORDS_LOST: &str = "spin_kafka_records_lost_total";
/// Offset commits that the broker refused or did not answer.
pub const COMMIT_FAILURES: &str = "spin_kafka_commit_failures_total";
/// Batches dropped in mid-way at a drain deadline; they come again.
pub const UNFINISHED: &str = "spin_kafka_batches_unfinished_total";
/// Batches that the handler has at this moment.
pub const IN_FLIGHT: &str = "spin_kafka_batches_in_flight";

/// A number that only grows, or a gauge.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts one more until the guard is dropped.
    pub(crate) fn enter(&self) -> Entered<'_> {
        self.add(1);
        Entered(self)
    }
}

/// One more in a gauge, for as long as it lives.
pub(crate) struct Entered<'a>(&'a Counter);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The engine's counters since it was made; each is named by a constant of this module.
#[derive(Debug, Default)]
pub struct Metrics {
    /// [`RECORDS`].
    pub records: Counter,
    /// [`BATCHES`].
    pub batches: Counter,
    /// [`REJECTIONS`].
    pub rejections: Counter,
    /// [`RETRIES`].
    pub retries: Counter,
    /// [`REWINDS`].
    pub rewinds: Counter,
    /// [`REBALANCES`].
    pub rebalances: Counter,
    /// [`RECORDS_LOST`].
    pub records_lost: Counter,
    /// [`COMMIT_FAILURES`].
    pub commit_failures: Counter,
    /// [`UNFINISHED`].
    pub unfinished: Counter,
    /// [`IN_FLIGHT`].
    pub in_flight: Counter,
}

impl Metrics {
    /// Every counter by its name.
    pub fn all(&self) -> [(&'static str, u64); 10] {
        [
            (RECORDS, self.records.get()),
            (BATCHES, self.batches.get()),
            (REJECTIONS, self.rejections.get()),
            (RETRIES, self.retries.get()),
            (REWINDS, self.rewinds.get()),
            (REBALANCES, self.rebalances.get()),
            (RECORDS_LOST, self.records_lost.get()),
            (COMMIT_FAILURES, self.commit_failures.get()),
            (UNFINISHED, self.unfinished.get()),
            (IN_FLIGHT, self.in_flight.get()),
        ]
    }
}
