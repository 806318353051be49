//! Reads `[application.trigger.amqp]` and `[[trigger.amqp]]`.

use std::time::Duration;

use kafka_schema::SchemaConfig;
use kafka_trigger::HandlerSettings;
use serde::Deserialize;
use serde_json::{Map, Value};
use spin_amqp_trigger::Config;
use spin_app::app::{App, Trigger};
use spin_app::variables::Variables;

use crate::Error;

/// The type of the triggers in a manifest.
const TYPE: &str = "amqp";

/// The settings of one AMQP trigger: those of the consumer and those of the call.
#[derive(Debug, Clone)]
pub struct TriggerConfig {
    /// The component that the trigger calls.
    pub component: String,
    /// The consumer's settings.
    pub consumer: Config,
    /// The address of the broker and its virtual host, without the password.
    pub address: String,
    /// The schema registry: the table `schema`. `None` if values are handed over as they are.
    pub schema: Option<SchemaConfig>,
    /// The time limit of a call: `handler_deadline_ms`.
    pub handler_deadline: Duration,
}

impl TriggerConfig {
    /// Reads all AMQP triggers of the application, with their variables resolved. The settings of a
    /// trigger take precedence over those of `[application.trigger.amqp]`.
    pub fn read_all(app: &App, variables: &Variables) -> Result<Vec<Self>, Error> {
        app.triggers(TYPE).map(|trigger| Self::read(app, trigger, variables)).collect()
    }

    fn read(app: &App, trigger: &Trigger, variables: &Variables) -> Result<Self, Error> {
        let mut settings = app.metadata.triggers.get(TYPE).cloned().unwrap_or_default();
        settings.extend(trigger.settings());
        let settings = variables.render_map(&settings)?;
        let component = trigger.component().unwrap_or_default().into();
        Self::parse(component, settings).map_err(|message| Error::Config {
            place: app.origin.place(&format!("trigger.{}", trigger.id)),
            message: message.trim_end().into(),
        })
    }

    fn parse(component: String, mut settings: Map<String, Value>) -> Result<Self, String> {
        let HandlerSettings { deadline, schema } = HandlerSettings::take(&mut settings)?;
        let consumer = Config::deserialize(Value::Object(settings)).map_err(|e| e.to_string())?;
        let address = consumer.check().map_err(|e| e.to_string())?;
        Ok(Self { component, consumer, address, schema, handler_deadline: deadline })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(settings: &str) -> Result<Vec<TriggerConfig>, Error> {
        let manifest = format!(
            r#"
            spin_manifest_version = 2
            [application]
            name = "posts"
            [application.trigger.amqp]
            url = "amqp://guest:{{{{ password }}}}@127.0.0.1/%2f"
            [variables]
            password = {{ default = "hunter2" }}
            [[trigger.amqp]]
            component = "counter"
            {settings}
            [component.counter]
            source = "counter.wasm"
            "#
        );
        let app = spin_app::manifest::parse(Path::new("spin.toml"), &manifest).unwrap();
        let variables = Variables::resolve(&app.variables, |_| None);
        TriggerConfig::read_all(&app, &variables)
    }

    #[test]
    fn settings_are_read_with_those_of_all_triggers() {
        let read = read("queue = 'posts'\nprefetch = 5000\nhandler_deadline_ms = 7").unwrap();
        let [TriggerConfig { component, consumer, address, handler_deadline, .. }] = &read[..]
        else {
            panic!()
        };
        assert_eq!(address, "127.0.0.1:5672, virtual host /");
        assert_eq!((component.as_str(), handler_deadline.as_millis()), ("counter", 7));
        assert_eq!((consumer.queue.as_str(), consumer.prefetch), ("posts", 5_000));
        assert_eq!(consumer.url.as_ref().unwrap().expose(), "amqp://guest:hunter2@127.0.0.1/%2f");
    }

    #[test]
    fn a_wrong_setting_is_reported_with_its_place_and_without_the_password() {
        for (settings, part) in [
            ("", "`queue`"),
            ("queue = 'posts'\ntopic = 'posts'", "unknown field `topic`"),
            ("queue = 'posts'\nprefetch = 3", "`prefetch`"),
            ("queue = 'posts'\npoison_attempts = 0", "poison_attempts"),
            ("queue = 'posts'\nurl = 'hunter2'", "`url`"),
            ("queue = 'posts'\nfilters = [{ on = 'key' }]", "`equals` or `prefix`"),
            ("queue = 'posts'\nschema = { registry = 'registry' }", "schema.registry"),
        ] {
            let error = read(settings).unwrap_err().to_string();
            assert!(error.contains("spin.toml") && error.contains(part), "{part}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
