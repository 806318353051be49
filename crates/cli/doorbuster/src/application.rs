//! The triggers of an application, for the commands that use one of them.

use anyhow::{Context as _, Result, bail};
use kafka_trigger::{PRODUCERS, TriggerConfig};
use runner::{TRIGGER_TYPES, VariableArgs};
use spin_app::App;
use spin_app::interface::is_named_by;
use spin_app::variables::Variables;
use spin_kafka_trigger::is_pattern;

use crate::brokers::parse_brokers;
use crate::source::Source;

/// Which application, and which of its triggers.
#[derive(clap::Args)]
pub struct Application {
    #[command(flatten)]
    pub source: Source,
    /// Component of the trigger; required if the application has several triggers.
    #[arg(long, value_name = "ID")]
    pub component: Option<String>,
    /// Bootstrap brokers of Kafka; sets the variable `kafka_brokers`.
    #[arg(long, value_name = "HOST:PORT[,…]", value_parser = parse_brokers)]
    pub kafka: Option<String>,
    #[command(flatten)]
    pub variables: VariableArgs,
}

impl Application {
    /// Reads the application and resolves its variables.
    pub async fn read(&self) -> Result<(App, Variables)> {
        let app = self.source.read().await?;
        app.check_triggers(&TRIGGER_TYPES)?;
        let brokers = self.kafka.iter().map(|brokers| ("kafka_brokers".into(), brokers.clone()));
        let config = self.variables.runtime_config()?;
        let variables = self.variables.resolve(&app, brokers.collect(), &config)?;
        Ok((app, variables))
    }

    /// The selected trigger, for Kafka or for RabbitMQ.
    pub fn any_trigger(&self, app: &App, variables: &Variables) -> Result<AnyTrigger> {
        let kafka = TriggerConfig::read_all(app, variables)?.into_iter();
        let amqp = amqp_trigger::TriggerConfig::read_all(app, variables)?.into_iter();
        let all = kafka.map(|t| (t.component.clone(), AnyTrigger::Kafka(t.into())));
        let all = all.chain(amqp.map(|t| (t.component.clone(), AnyTrigger::Amqp(t.into()))));
        select(app, all.collect(), self.component.as_deref(), "Kafka or AMQP trigger")
    }

    /// The selected trigger for Kafka.
    pub fn trigger(&self, app: &App, variables: &Variables) -> Result<TriggerConfig> {
        select_trigger(app, variables, self.component.as_deref())
    }

    /// The settings for one topic, and its name: those of the selected trigger. Without an
    /// application, `kafka` and `topic` are sufficient.
    pub async fn topic(&self, topic: Option<&str>) -> Result<(TriggerConfig, String)> {
        let trigger = match (&self.kafka, topic) {
            (Some(brokers), Some(_)) if self.source.is_absent() => {
                TriggerConfig::of_brokers(brokers)
            }
            _ => {
                let (app, variables) = self.read().await?;
                self.trigger(&app, &variables)?
            }
        };
        match (topic, trigger.engine.topics.as_slice()) {
            (Some(topic), _) => Ok((trigger, topic.to_owned())),
            (None, [topic]) if !is_pattern(topic) => Ok((trigger.clone(), topic.clone())),
            (None, topics) => bail!("the trigger reads {topics:?}: name one topic by --topic"),
        }
    }
}

/// A trigger for Kafka or for RabbitMQ.
pub enum AnyTrigger {
    Kafka(Box<TriggerConfig>),
    Amqp(Box<amqp_trigger::TriggerConfig>),
}

/// The Kafka trigger of this component; the only one if no component is given.
pub fn select_trigger(
    app: &App,
    variables: &Variables,
    component: Option<&str>,
) -> Result<TriggerConfig> {
    let triggers = TriggerConfig::read_all(app, variables)?;
    let triggers = triggers.into_iter().map(|trigger| (trigger.component.clone(), trigger));
    select(app, triggers.collect(), component, "Kafka trigger")
}

/// The trigger of this component; the only one if no component is given. `triggers` have the ids of
/// their components.
fn select<T>(
    app: &App,
    mut triggers: Vec<(String, T)>,
    component: Option<&str>,
    kind: &str,
) -> Result<T> {
    if let Some(component) = component {
        triggers.retain(|(id, _)| id == component);
    }
    let name = &app.metadata.name;
    let (_, trigger) = triggers.pop().with_context(|| format!("{name}: no such {kind}"))?;
    if !triggers.is_empty() {
        bail!("{name} has several triggers: name one by --component");
    }
    Ok(trigger)
}

/// Makes the components use their own producers, if they have one, in place of the host's, which
/// would send records to the brokers of the trigger.
pub fn without_producers(app: &mut App) {
    for component in &mut app.components {
        let is_producer = |name: &String| PRODUCERS.iter().any(|p| is_named_by(name, p));
        component.provide.retain(|interface| !is_producer(interface));
    }
}
