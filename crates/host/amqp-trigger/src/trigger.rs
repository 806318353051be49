//! One AMQP trigger of an application, which is ready to run.

use std::sync::Arc;

use component_host::Host;
use kafka_trigger::{GuestHandler, MessagingSystem, Observed};
use prometheus_client::registry::Registry;
use spin_amqp_trigger::Trigger;
use spin_kafka_trigger::{Progress, Summary};

use crate::{Error, TriggerConfig};

/// An AMQP trigger with its component.
pub struct AmqpTrigger {
    handler: GuestHandler,
    trigger: Trigger,
}

impl AmqpTrigger {
    /// Fails if the component is not loaded, does not export the handler, or returns records. Must be called within a
    /// tokio runtime.
    pub fn new(config: TriggerConfig, host: &Host) -> Result<Self, Error> {
        let TriggerConfig { component, consumer, handler_deadline, .. } = config;
        let handler =
            GuestHandler::find(host, &component, handler_deadline, MessagingSystem::RabbitMq)?;
        if handler.returns_records() {
            return Err(Error::ReturnsRecords { component });
        }
        let trigger = Trigger::new(consumer, handler.clone())
            .map_err(|source| Error::Consumer { component, source })?;
        Ok(Self { handler, trigger })
    }

    /// The handler that calls the component. It can be given another build at run time.
    pub fn handler(&self) -> GuestHandler {
        self.handler.clone()
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
    fn component(&self) -> String {
        self.handler.component()
    }

    fn progress(&self) -> Arc<Progress> {
        self.trigger.progress()
    }

    fn register(&self, registry: &mut Registry) {
        let label = ("component".into(), self.component().into());
        let registry = registry.sub_registry_with_label(label);
        self.trigger.metrics().register(registry);
        self.trigger.progress().register(registry);
        self.handler.register(registry);
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
