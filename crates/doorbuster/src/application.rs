//! The Kafka triggers of an application, for the commands that look after them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use component_host::variables::Variables;
use component_host::{App, manifest};
use trigger_kafka::TriggerConfig;

/// Which application, and which of its triggers.
#[derive(clap::Args)]
pub struct Application {
    /// The application's manifest.
    #[arg(short = 'f', long, value_name = "FILE", default_value = "spin.toml")]
    pub from: PathBuf,
    /// The component behind the trigger; needed if there are several.
    #[arg(long, value_name = "ID")]
    pub component: Option<String>,
    /// Kafka's bootstrap brokers; sets the variable `kafka_brokers`.
    #[arg(long, value_name = "HOST:PORT[,…]")]
    pub kafka: Option<String>,
    /// Set a variable of the application; may be repeated.
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = variable)]
    pub variables: Vec<(String, String)>,
}

/// Reads `NAME=VALUE`.
pub fn variable(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("`{text}` must be NAME=VALUE"))
}

impl Application {
    /// The manifest with its variables resolved.
    pub fn read(&self) -> Result<(App, Variables)> {
        let app = manifest::read(&self.from)?;
        let mut given: BTreeMap<_, _> = self.variables.iter().cloned().collect();
        if let Some(brokers) = &self.kafka {
            given.entry("kafka_brokers".into()).or_insert_with(|| brokers.clone());
        }
        let variables =
            Variables::resolve(&app.variables, &given, |name| std::env::var(name).ok())?;
        Ok((app, variables))
    }

    /// The trigger that is meant.
    pub fn trigger(&self, app: &App, variables: &Variables) -> Result<TriggerConfig> {
        let mut triggers = TriggerConfig::read_all(app, variables)?;
        if let Some(component) = &self.component {
            triggers.retain(|trigger| trigger.component == *component);
        }
        let trigger = triggers
            .pop()
            .with_context(|| format!("{}: no such Kafka trigger", self.from.display()))?;
        if !triggers.is_empty() {
            bail!("{} has several Kafka triggers: name one by --component", self.from.display());
        }
        Ok(trigger)
    }
}
