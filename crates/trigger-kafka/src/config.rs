//! `[application.trigger.kafka]` and `[[trigger.kafka]]`.

use std::path::Path;
use std::time::Duration;

use component_host::app::{App, Trigger};
use component_host::variables::Variables;
use serde::Deserialize;
use spin_kafka_trigger::Config;

use crate::Error;

/// The settings of one Kafka trigger: the engine's, and those of the call.
#[derive(Debug, Clone)]
pub struct TriggerConfig {
    /// The component that the trigger calls.
    pub component: String,
    /// The consumer engine's settings.
    pub engine: Config,
    /// Time one call may take; past it the instance is dropped and the batch comes again.
    /// Manifest: `handler_deadline_ms`, default 60,000.
    pub handler_deadline: Duration,
}

/// Settings of the call rather than of the consumer.
#[derive(Deserialize)]
struct CallSettings {
    #[serde(default = "handler_deadline_ms")]
    handler_deadline_ms: u64,
}

fn handler_deadline_ms() -> u64 {
    60_000
}

impl TriggerConfig {
    /// Reads every Kafka trigger of the application, with its variables resolved. Settings of
    /// a trigger win over those of `[application.trigger.kafka]`.
    pub fn read_all(app: &App, variables: &Variables) -> Result<Vec<Self>, Error> {
        app.triggers
            .iter()
            .filter(|trigger| trigger.kind == "kafka")
            .map(|trigger| Self::read(app, trigger, variables))
            .collect()
    }

    fn read(app: &App, trigger: &Trigger, variables: &Variables) -> Result<Self, Error> {
        let mut settings = app.trigger_settings.get("kafka").cloned().unwrap_or_default();
        settings.extend(trigger.settings.clone());
        let mut settings = variables.render_table(&settings)?;
        let fault = |message: String| fault(&app.origin, trigger.line, message);
        let mut call = toml::Table::new();
        if let Some((key, value)) = settings.remove_entry("handler_deadline_ms") {
            call.insert(key, value);
        }
        let call: CallSettings = call.try_into().map_err(|e| fault(e.to_string()))?;
        if let Some(topic) = settings.remove("topic") {
            if settings.contains_key("topics") {
                return Err(fault("give either `topic` or `topics`".into()));
            }
            settings.insert("topics".into(), toml::Value::Array(vec![topic]));
        }
        let engine: Config =
            settings.try_into().map_err(|e: toml::de::Error| fault(e.to_string()))?;
        engine.validate().map_err(|e| fault(e.to_string()))?;
        Ok(Self {
            component: trigger.component.clone(),
            engine,
            handler_deadline: Duration::from_millis(call.handler_deadline_ms),
        })
    }
}

fn fault(path: &Path, line: usize, message: String) -> Error {
    Error::Config { path: path.into(), line, message: message.trim_end().into() }
}
