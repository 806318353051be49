//! The metrics of the engine.

#[cfg(feature = "metrics")]
use prometheus_client::metrics::histogram::exponential_buckets;
#[cfg(feature = "metrics")]
use prometheus_client::registry::{Registry, Unit};

use crate::instruments::{Counter, Gauge, Histogram};

/// The metrics of one engine, counted from its creation on. `get` reads a counter or a gauge. With
/// the feature `metrics` they are instruments of `prometheus-client`; without it, the histograms
/// keep nothing.
#[derive(Debug)]
#[non_exhaustive]
pub struct Metrics {
    /// Records that were handed to the handler and applied, including those that it rejected.
    pub records: Counter,
    /// Batches and parts of batches that were applied.
    pub batches: Counter,
    /// Records dropped by a filter.
    pub filtered: Counter,
    /// Records that the handler rejected.
    pub rejections: Counter,
    /// Failed attempts that were followed by another one; an attempt is a call with a batch or a
    /// request for a position.
    pub retries: Counter,
    /// Breakdowns of the handler over a batch or a part of one: traps, missed deadlines, exceeded
    /// memory limits.
    pub breakdowns: Counter,
    /// Records that made the handler fail.
    pub poison: Counter,
    /// Records written to a dead-letter topic.
    pub dead_letters: Counter,
    /// Failed attempts to write dead letters; each is repeated.
    pub dead_letter_failures: Counter,
    /// Records that were given up without a dead letter, because `failed_records` is `skip`.
    pub skipped: Counter,
    /// Number of times that the handler's store had lost updates, so that the engine read records
    /// again.
    pub rewinds: Counter,
    /// Number of times that the handler's store was empty although the group had read the log, so
    /// that it was rebuilt from the log.
    pub rebuilds: Counter,
    /// Assignments and revocations.
    pub rebalances: Counter,
    /// Offsets that were deleted from the log before the engine read them.
    pub records_lost: Counter,
    /// Offset commits that the broker refused or did not answer.
    pub commit_failures: Counter,
    /// Transactions that were committed.
    pub transactions: Counter,
    /// Transactions that were not committed, as far as known; what they contain is written again,
    /// unless it turns out to be committed.
    pub transaction_failures: Counter,
    /// Records that the handler returned and that were written.
    pub output_records: Counter,
    /// Batches that were dropped before the handler answered, at a drain deadline or because the
    /// assignment was lost. They are delivered again.
    pub unfinished: Counter,
    /// Batches that the handler is processing at this moment.
    pub in_flight: Gauge,
    /// Number of records of a batch.
    pub batch_records: Histogram,
    /// Duration of the handler's call with a batch, in seconds.
    pub handler_seconds: Histogram,
    /// Duration of a transaction, in seconds.
    pub transaction_seconds: Histogram,
    /// How long a rebalance blocked the poll thread of the group, in seconds. Most of it is the
    /// wait for batches in flight.
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
            transactions: Counter::default(),
            transaction_failures: Counter::default(),
            output_records: Counter::default(),
            unfinished: Counter::default(),
            in_flight: Gauge::default(),
            // 1 to 16,384 records.
            batch_records: histogram(1.0, 8),
            // 0.5 ms to 131 s.
            handler_seconds: histogram(0.0005, 10),
            transaction_seconds: histogram(0.0005, 10),
            rebalance_seconds: histogram(0.0005, 10),
        }
    }
}

/// A histogram whose first bucket ends at `first`, and each further one at four times the value
/// before.
#[cfg(feature = "metrics")]
fn histogram(first: f64, buckets: u16) -> Histogram {
    Histogram::new(exponential_buckets(first, 4.0, buckets))
}

#[cfg(not(feature = "metrics"))]
fn histogram(_: f64, _: u16) -> Histogram {
    Histogram::default()
}

#[cfg(feature = "metrics")]
impl Metrics {
    /// Registers the metrics with the prefix `spin_kafka_`. The name of a counter ends in `_total`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("spin_kafka");
        for (name, help, counter) in [
            ("records", "Records applied", &self.records),
            ("batches", "Batches and parts of batches applied", &self.batches),
            ("filtered_records", "Records dropped by a filter", &self.filtered),
            ("rejections", "Records that the handler rejected", &self.rejections),
            ("retries", "Failed attempts that were followed by another", &self.retries),
            ("breakdowns", "Batches that made the handler fail", &self.breakdowns),
            ("poison_records", "Records that made the handler fail", &self.poison),
            ("dead_letters", "Records written to a dead-letter topic", &self.dead_letters),
            (
                "dead_letter_failures",
                "Failed attempts to write dead letters",
                &self.dead_letter_failures,
            ),
            ("skipped_records", "Records given up without a dead letter", &self.skipped),
            ("rewinds", "Times the handler's store was behind", &self.rewinds),
            ("rebuilds", "Times an empty store was rebuilt", &self.rebuilds),
            ("rebalances", "Assignments and revocations", &self.rebalances),
            ("records_lost", "Offsets deleted from the log before being read", &self.records_lost),
            ("commit_failures", "Offset commits that failed", &self.commit_failures),
            ("transactions", "Transactions committed", &self.transactions),
            (
                "transaction_failures",
                "Transactions that were not committed",
                &self.transaction_failures,
            ),
            ("output_records", "Records written for the handler", &self.output_records),
            ("unfinished_batches", "Batches dropped before the handler answered", &self.unfinished),
        ] {
            registry.register(name, help, counter.clone());
        }
        let in_flight = self.in_flight.clone();
        registry.register("batches_in_flight", "Batches that the handler is processing", in_flight);
        let sizes = self.batch_records.clone();
        registry.register("batch_records", "Records in a batch", sizes);
        let (handler, rebalance) = (self.handler_seconds.clone(), self.rebalance_seconds.clone());
        let help = "Duration of a call of the handler with a batch";
        registry.register_with_unit("handler", help, Unit::Seconds, handler);
        let help = "Duration of a transaction";
        let transaction = self.transaction_seconds.clone();
        registry.register_with_unit("transaction", help, Unit::Seconds, transaction);
        let help = "Duration of a rebalance";
        registry.register_with_unit("rebalance", help, Unit::Seconds, rebalance);
    }
}
