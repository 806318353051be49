//! One AMQP trigger of an application, which is ready to run.

use std::sync::Arc;

use component_host::Host;
use kafka_schema::SchemaHandler;
use kafka_trigger::{GuestHandler, MessagingSystem, Observed};
use spin_amqp_trigger::Trigger;
use spin_kafka_trigger::{Metrics, Progress, Summary};

use crate::{Error, TriggerConfig};

/// An AMQP trigger with its component.
pub struct AmqpTrigger {
    handler: GuestHandler,
    trigger: Trigger,
    schema_metrics: Arc<kafka_schema::Metrics>,
}

impl AmqpTrigger {
    /// Fails if the component is not loaded, does not export the handler, or returns records. Must be called within a
    /// tokio runtime.
    pub fn new(config: TriggerConfig, host: &Host) -> Result<Self, Error> {
        let TriggerConfig { component, mut consumer, schema, handler_deadline, .. } = config;
        let handler =
            GuestHandler::find(host, &component, handler_deadline, MessagingSystem::RabbitMq)?;
        if handler.returns_records() {
            return Err(Error::ReturnsRecords { component });
        }
        let decoding = SchemaHandler::new(handler.clone(), schema, &mut consumer.filters).map_err(
            |source| {
                let component = component.clone();
                kafka_trigger::Error::Schema { component, source }
            },
        )?;
        let schema_metrics = decoding.metrics();
        let trigger = Trigger::new(consumer, decoding)
            .map_err(|source| Error::Consumer { component, source })?;
        Ok(Self { handler, trigger, schema_metrics })
    }

    /// Reads the queue until `shutdown` resolves, then drains. An error means that it stopped
    /// earlier.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Summary, Error> {
        let component = self.handler.component();
        self.trigger.until(shutdown).await.map_err(|source| Error::Consumer { component, source })
    }
}

impl Observed for AmqpTrigger {
    fn handler(&self) -> GuestHandler {
        self.handler.clone()
    }

    fn metrics(&self) -> Arc<Metrics> {
        self.trigger.metrics()
    }

    fn schema_metrics(&self) -> &kafka_schema::Metrics {
        &self.schema_metrics
    }

    fn progress(&self) -> Arc<Progress> {
        self.trigger.progress()
    }

    fn obstacles(&self) -> fn(&Progress) -> Vec<String> {
        obstacles
    }
}

/// Why no messages are received.
fn obstacles(progress: &Progress) -> Vec<String> {
    if progress.is_member() {
        return Vec::new();
    }
    let missing = progress.missing_topics();
    if !progress.is_answered() || missing.is_empty() {
        return vec!["not connected to the broker of its queue".into()];
    }
    missing.iter().map(|queue| format!("queue {queue} does not exist")).collect()
}
