//! One AMQP trigger of an application, which is ready to run.

use component_host::Host;
use kafka_schema::SchemaHandler;
use kafka_trigger::{BatchTrigger, GuestHandler, MessagingSystem};
use spin_amqp_trigger::Trigger;
use spin_kafka_trigger::{Progress, Summary};

use crate::{Error, TriggerConfig};

/// An AMQP trigger with its component.
pub struct AmqpTrigger {
    trigger: Trigger,
    observed: BatchTrigger,
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
        let observed = BatchTrigger {
            handler,
            metrics: trigger.metrics(),
            schema_metrics,
            progress: trigger.progress(),
            obstacles,
        };
        Ok(Self { trigger, observed })
    }

    /// What the operator port serves of it.
    pub fn observed(&self) -> &BatchTrigger {
        &self.observed
    }

    /// Reads the queue until `shutdown` resolves, then drains. An error means that it stopped
    /// earlier.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Summary, Error> {
        let component = self.observed.handler.component();
        self.trigger.until(shutdown).await.map_err(|source| Error::Consumer { component, source })
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
