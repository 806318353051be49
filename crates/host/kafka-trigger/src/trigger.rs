//! One Kafka trigger of an application, which is ready to run.

use component_host::Host;
use kafka_schema::SchemaHandler;
use spin_kafka_trigger::{Progress, Range, Summary, Trigger};

use crate::config::TriggerConfig;
use crate::handler::GuestHandler;
use crate::{BatchTrigger, Error, MessagingSystem};

/// A Kafka trigger with its component.
pub struct KafkaTrigger {
    trigger: Trigger<SchemaHandler<GuestHandler>>,
    observed: BatchTrigger,
}

impl KafkaTrigger {
    /// Fails if the component is not loaded or does not export the handler.
    pub fn new(config: TriggerConfig, host: &Host) -> Result<Self, Error> {
        let TriggerConfig { component, mut engine, schema, handler_deadline } = config;
        let handler =
            GuestHandler::find(host, &component, handler_deadline, MessagingSystem::Kafka)?;
        match (handler.returns_records(), engine.output_topics.is_empty()) {
            (true, true) => return Err(Error::NoOutputTopics { component }),
            (false, false) => return Err(Error::UnusedOutputTopics { component }),
            _ => {}
        }
        let decoding = SchemaHandler::new(handler.clone(), schema, &mut engine.filters)
            .map_err(|source| Error::Schema { component: component.clone(), source })?;
        let schema_metrics = decoding.metrics();
        let trigger =
            Trigger::new(engine, decoding).map_err(|source| Error::Engine { component, source })?;
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

    /// Consumes until `shutdown` resolves, then drains. An error means that it stopped earlier.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Summary, Error> {
        let component = self.observed.handler.component();
        self.trigger.until(shutdown).await.map_err(|source| Error::Engine { component, source })
    }

    /// Passes a range of the topics' logs to the component, outside the group.
    pub async fn replay(
        self,
        range: Range,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Summary, Error> {
        let component = self.observed.handler.component();
        let ended = self.trigger.replay(range, shutdown).await;
        ended.map_err(|source| Error::Engine { component, source })
    }
}

/// Why records are not received: the trigger is not a member of its group, the brokers do not
/// answer, a topic is missing, or no member of the group reads a partition.
fn obstacles(progress: &Progress) -> Vec<String> {
    let mut lines = Vec::new();
    if !progress.is_member() {
        lines.push("not in its group yet".into());
    }
    if !progress.is_answered() {
        lines.push("the brokers do not answer".into());
    }
    let missing = progress.missing_topics();
    lines.extend(missing.iter().map(|topic| format!("topic {topic} does not exist")));
    let unread = progress.unread_partitions();
    lines.extend(unread.iter().map(|(topic, n)| format!("no member reads {topic}/{n}")));
    lines
}
