//! What the operator port serves of a trigger.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use spin_kafka_trigger::{Metrics, Progress};

use crate::GuestHandler;

/// A trigger whose health and metrics the operator port serves.
pub trait Observed {
    /// The handler that calls the component. It can be given another build at run time.
    fn handler(&self) -> GuestHandler;

    /// The counters of the trigger.
    fn metrics(&self) -> Arc<Metrics>;

    /// The counters of the schema registry.
    fn schema_metrics(&self) -> &kafka_schema::Metrics;

    /// The progress of the trigger at run time.
    fn progress(&self) -> Arc<Progress>;

    /// The function that determines, from the progress, why records are not received. An empty list
    /// means that they are.
    fn obstacles(&self) -> fn(&Progress) -> Vec<String>;

    /// The component that the trigger calls.
    fn component(&self) -> String {
        self.handler().component()
    }

    /// Registers the metrics with the label `component`.
    fn register(&self, registry: &mut Registry) {
        let label = ("component".into(), self.component().into());
        let registry = registry.sub_registry_with_label(label);
        self.metrics().register(registry);
        self.progress().register(registry);
        self.handler().register(registry);
        self.schema_metrics().register(registry);
    }
}
