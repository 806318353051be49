//! What the operator port serves of triggers.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use spin_kafka_trigger::{Metrics, Progress};

use crate::GuestHandler;

/// A trigger whose health and metrics the operator port serves.
pub trait Observed {
    /// Registers the metrics.
    fn register(&self, registry: &mut Registry);

    /// The health at run time.
    fn health(&self) -> Arc<dyn Health>;
}

/// The health of a trigger at run time: lines for operators.
pub trait Health: Send + Sync {
    /// What has work and makes no progress. A line makes the process unhealthy.
    fn stalled(&self) -> Vec<String> {
        Vec::new()
    }

    /// Why nothing is received. A line makes the process not ready.
    fn obstacles(&self) -> Vec<String>;
}

/// What the operator port serves of a trigger that passes batches to a component: a Kafka or an AMQP
/// trigger.
#[derive(Clone)]
pub struct BatchTrigger {
    /// The handler that calls the component. It can be given another build at run time.
    pub handler: GuestHandler,
    /// The counters of the trigger.
    pub metrics: Arc<Metrics>,
    /// The counters of the schema registry.
    pub schema_metrics: Arc<kafka_schema::Metrics>,
    /// The progress of the trigger at run time.
    pub progress: Arc<Progress>,
    /// The function that determines, from the progress, why records are not received. An empty list
    /// means that they are.
    pub obstacles: fn(&Progress) -> Vec<String>,
}

impl BatchTrigger {
    fn lines(&self, problems: Vec<String>) -> Vec<String> {
        let component = self.handler.component();
        problems.into_iter().map(|problem| format!("{component}: {problem}")).collect()
    }
}

impl Observed for BatchTrigger {
    /// Registers the metrics with the label `component`.
    fn register(&self, registry: &mut Registry) {
        let label = ("component".into(), self.handler.component().into());
        let registry = registry.sub_registry_with_label(label);
        self.metrics.register(registry);
        self.progress.register(registry);
        self.handler.register(registry);
        self.schema_metrics.register(registry);
    }

    fn health(&self) -> Arc<dyn Health> {
        Arc::new(self.clone())
    }
}

impl Health for BatchTrigger {
    fn stalled(&self) -> Vec<String> {
        let stalled = self.progress.stalled();
        let problems = stalled.into_iter().map(|partition| {
            let since = partition.stalled_for.unwrap_or_default().as_secs();
            format!(
                "{}/{} has a lag of {} and made no progress for {since} s",
                partition.topic, partition.partition, partition.lag
            )
        });
        self.lines(problems.collect())
    }

    fn obstacles(&self) -> Vec<String> {
        self.lines((self.obstacles)(&self.progress))
    }
}
