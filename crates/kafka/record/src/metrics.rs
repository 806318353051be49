//! The metrics of a producer.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::ProduceError;

/// The producer's counters.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Records that were passed to the producer.
    pub records: Counter,
    /// Records that the broker acknowledged.
    pub delivered: Counter,
    /// Records that were not sent because the queue was full.
    pub queue_full: Counter,
    /// Records that failed for another reason.
    pub failed: Counter,
    /// Clients or connections that failed permanently and were replaced.
    pub replaced: Counter,
}

impl Metrics {
    /// Registers the counters with this prefix. The name of a counter ends in `_total`.
    pub fn register(&self, prefix: &str, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix(prefix);
        for (name, help, counter) in [
            ("records", "Records that were passed to the producer", &self.records),
            ("delivered", "Records that the broker acknowledged", &self.delivered),
            (
                "queue_full",
                "Records that were not sent because the queue was full",
                &self.queue_full,
            ),
            ("failed", "Records that failed for another reason", &self.failed),
            ("replaced", "Clients or connections that failed and were replaced", &self.replaced),
        ] {
            registry.register(name, help, counter.clone());
        }
    }

    /// Counts the records of a call.
    pub fn count<T>(&self, results: &[Result<T, ProduceError>]) {
        self.records.inc_by(results.len() as u64);
        for result in results {
            match result {
                Ok(_) => self.delivered.inc(),
                Err(ProduceError::QueueFull) => self.queue_full.inc(),
                Err(_) => self.failed.inc(),
            };
        }
    }
}
