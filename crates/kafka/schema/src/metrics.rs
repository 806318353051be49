//! The metrics of the schema registry.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::registry::FetchError;

/// The metrics of one handler, counted from its creation on.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests to the registry.
    pub fetches: Counter,
    /// Requests that the registry did not answer, or answered with an error.
    pub fetch_failures: Counter,
    /// Records that were given up because their values do not fit their schemas, or have none.
    pub misfits: Counter,
}

impl Metrics {
    /// Counts a request by its result.
    pub(crate) fn count<T>(&self, fetched: Result<T, FetchError>) -> Result<T, FetchError> {
        self.fetches.inc();
        if matches!(fetched, Err(FetchError::Failed(_) | FetchError::Outage(_))) {
            self.fetch_failures.inc();
        }
        fetched
    }

    /// Registers the metrics with the prefix `spin_kafka_schema_`. The name of a counter ends in
    /// `_total`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("spin_kafka_schema");
        for (name, help, counter) in [
            ("fetches", "Requests to the schema registry", &self.fetches),
            ("fetch_failures", "Failed requests to the schema registry", &self.fetch_failures),
            ("misfits", "Records whose values do not fit their schemas", &self.misfits),
        ] {
            registry.register(name, help, counter.clone());
        }
    }
}
