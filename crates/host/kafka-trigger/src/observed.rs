//! What the operator port serves of a trigger.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use spin_kafka_trigger::Progress;

/// A trigger whose health and metrics the operator port serves.
pub trait Observed {
    /// The component that the trigger calls.
    fn component(&self) -> String;

    /// The progress of the trigger at run time.
    fn progress(&self) -> Arc<Progress>;

    /// Registers the metrics with the label `component`.
    fn register(&self, registry: &mut Registry);

    /// The function that determines, from the progress, why records are not received. An empty list
    /// means that they are.
    fn obstacles(&self) -> fn(&Progress) -> Vec<String>;
}
