//! What the engine counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The engine's metrics since it was made.
#[derive(Debug)]
pub struct Metrics {
    /// Records handed to the handler and applied, those that it refused included.
    pub records: Counter,
    /// Batches, and parts of batches, that were applied.
    pub batches: Counter,
    /// Records that met not every filter.
    pub filtered: Counter,
    /// Records the handler refused.
    pub rejections: Counter,
    /// Failed attempts, of a batch or of asking for a position, that were followed by another.
    pub retries: Counter,
    /// Times that a batch, or a part of one, broke the handler: traps, deadlines, memory.
    pub breakdowns: Counter,
    /// Records found to break the handler.
    pub poison: Counter,
    /// Records written to a dead-letter topic.
    pub dead_letters: Counter,
    /// Attempts to write dead letters that failed and are tried again.
    pub dead_letter_failures: Counter,
    /// Records passed over because the settings say so.
    pub skipped: Counter,
    /// Times the handler's store was behind and the engine went back.
    pub rewinds: Counter,
    /// Times the handler's store was empty though the group had read the log, and was built
    /// again from it.
    pub rebuilds: Counter,
    /// Assignments and revocations.
    pub rebalances: Counter,
    /// Offsets that the log no longer held when they were to be read.
    pub records_lost: Counter,
    /// Offset commits that the broker refused or did not answer.
    pub commit_failures: Counter,
    /// Batches dropped in mid-way, at a drain deadline or with a lost assignment; they come
    /// again.
    pub unfinished: Counter,
    /// Batches that the handler has at this moment.
    pub in_flight: Gauge,
    /// Records in a batch.
    pub batch_records: Histogram,
    /// How long the handler had a batch.
    pub handler_seconds: Histogram,
    /// How long a rebalance kept the group's thread: most of it is batches in flight ending.
    pub rebalance_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            records: Counter::default(),
            batches: Counter::default(),
            filtered: Counter::default(),
            rejections: Counter::default(),
            retries: Counter::default(),
            breakdowns: Counter::default(),
            poison: Counter::default(),
            dead_letters: Counter::default(),
            dead_letter_failures: Counter::default(),
            skipped: Counter::default(),
            rewinds: Counter::default(),
            rebuilds: Counter::default(),
            rebalances: Counter::default(),
            records_lost: Counter::default(),
            commit_failures: Counter::default(),
            unfinished: Counter::default(),
            in_flight: Gauge::default(),
            // 1 to 16,384 records.
            batch_records: Histogram::new(exponential_buckets(1.0, 4.0, 8)),
            // 0.5 ms to 131 s.
            handler_seconds: Histogram::new(exponential_buckets(0.0005, 4.0, 10)),
            rebalance_seconds: Histogram::new(exponential_buckets(0.0005, 4.0, 10)),
        }
    }
}

impl Metrics {
    /// Puts the metrics under `spin_kafka_`. A counter's name ends in `_total`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("spin_kafka");
        for (name, help, counter) in [
            ("records", "Records applied", &self.records),
            ("batches", "Batches and parts of batches applied", &self.batches),
            ("filtered_records", "Records that the filters kept back", &self.filtered),
            ("rejections", "Records that the handler refused", &self.rejections),
            ("retries", "Failed attempts that were followed by another", &self.retries),
            ("breakdowns", "Batches that broke the handler", &self.breakdowns),
            ("poison_records", "Records found to break the handler", &self.poison),
            ("dead_letters", "Records written to a dead-letter topic", &self.dead_letters),
            (
                "dead_letter_failures",
                "Failed attempts to write dead letters",
                &self.dead_letter_failures,
            ),
            ("skipped_records", "Records passed over because the settings say so", &self.skipped),
            ("rewinds", "Times the handler's store was behind", &self.rewinds),
            ("rebuilds", "Times an empty store was built again", &self.rebuilds),
            ("rebalances", "Assignments and revocations", &self.rebalances),
            ("records_lost", "Offsets gone from the log before they were read", &self.records_lost),
            ("commit_failures", "Offset commits that failed", &self.commit_failures),
            ("unfinished_batches", "Batches dropped in mid-way", &self.unfinished),
        ] {
            registry.register(name, help, counter.clone());
        }
        let in_flight = self.in_flight.clone();
        registry.register("batches_in_flight", "Batches that the handler has", in_flight);
        let sizes = self.batch_records.clone();
        registry.register("batch_records", "Records in a batch", sizes);
        let (handler, rebalance) = (self.handler_seconds.clone(), self.rebalance_seconds.clone());
        let took = "How long the handler had a batch";
        registry.register_with_unit("handler", took, Unit::Seconds, handler);
        let took = "How long a rebalance took";
        registry.register_with_unit("rebalance", took, Unit::Seconds, rebalance);
    }
}
