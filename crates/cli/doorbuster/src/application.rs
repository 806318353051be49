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

    /// The selected trigger of one of these types. The settings of the others are not read: their
    /// variables may be missing.
    pub fn any_trigger(
        &self,
        app: &App,
        variables: &Variables,
        types: &[TriggerType],
    ) -> Result<AnyTrigger> {
        let only = select_any(app, self.component.as_deref(), types)?;
        let trigger = match TriggerConfig::read_all(&only, variables)?.pop() {
            Some(trigger) => Some(AnyTrigger::Kafka(trigger.into())),
            None => {
                let amqp = amqp_trigger::TriggerConfig::read_all(&only, variables)?.pop();
                amqp.map(|trigger| AnyTrigger::Amqp(trigger.into()))
            }
        };
        trigger.context("the trigger has no settings")
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

/// The type of a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TriggerType {
    Kafka,
    Amqp,
}

impl TriggerType {
    pub const ALL: [Self; 2] = [Self::Kafka, Self::Amqp];

    /// Its name in a manifest.
    fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Amqp => "amqp",
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

/// The application with the selected trigger only: the one that has one of these types and calls this
/// component, if one is given.
fn select_any(app: &App, component: Option<&str>, types: &[TriggerType]) -> Result<App> {
    let mut only = app.clone();
    only.triggers.retain(|trigger| {
        types.iter().any(|one| trigger.trigger_type == one.name())
            && component.is_none_or(|id| trigger.component() == Some(id))
    });
    let name = &app.metadata.name;
    match &only.triggers[..] {
        [_] => Ok(only),
        [] => bail!("{name}: no such Kafka or AMQP trigger"),
        [one, others @ ..] => {
            let option = if others.iter().any(|other| other.component() != one.component()) {
                "--component"
            } else {
                "--trigger kafka or --trigger amqp"
            };
            bail!("{name} has several triggers: name one by {option}")
        }
    }
}

/// Makes the components use their own producers, if they have one, in place of the host's, which
/// would send records to the brokers of the trigger.
pub fn without_producers(app: &mut App) {
    for component in &mut app.components {
        let is_producer = |name: &String| PRODUCERS.iter().any(|p| is_named_by(name, p));
        component.provide.retain(|interface| !is_producer(interface));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn one_trigger_is_selected_before_any_settings_are_read() {
        let manifest = r#"
            spin_manifest_version = 2
            [application]
            name = "posts"
            [variables]
            amqp_url = { required = true, secret = true }
            [[trigger.kafka]]
            topic = "posts"
            component = "both"
            [[trigger.amqp]]
            url = "{{ amqp_url }}"
            queue = "posts"
            component = "both"
            [[trigger.amqp]]
            url = "{{ amqp_url }}"
            queue = "others"
            component = "one"
            [component.both]
            source = "posts.wasm"
            [component.one]
            source = "posts.wasm"
        "#;
        let app = spin_app::manifest::parse(Path::new("spin.toml"), manifest).unwrap();
        let select = |component, types: &[TriggerType]| {
            let only = select_any(&app, component, types).map_err(|error| error.to_string())?;
            let [trigger] = &only.triggers[..] else { panic!("{:?}", only.triggers) };
            Ok::<_, String>((
                trigger.trigger_type.clone(),
                trigger.component().unwrap_or_default().to_owned(),
            ))
        };
        let found = |of_type: &str, component: &str| Ok((of_type.to_owned(), component.to_owned()));
        let all = TriggerType::ALL;
        assert_eq!(select(Some("one"), &all), found("amqp", "one"));
        assert_eq!(select(None, &[TriggerType::Kafka]), found("kafka", "both"));
        assert_eq!(select(Some("both"), &[TriggerType::Amqp]), found("amqp", "both"));
        assert!(select(None, &all).unwrap_err().contains("--component"));
        assert!(select(Some("both"), &all).unwrap_err().contains("--trigger"));
        assert!(select(Some("two"), &all).unwrap_err().contains("no such"));
        assert!(select(Some("one"), &[TriggerType::Kafka]).unwrap_err().contains("no such"));
    }
}
