//! Reads `[application.trigger.kafka]` and `[[trigger.kafka]]`.

use std::time::Duration;

use host_producer::ProducerConfig;
use kafka_schema::SchemaConfig;
use serde::Deserialize;
use serde_json::{Map, Value};
use spin_app::app::{App, Trigger};
use spin_app::variables::Variables;
use spin_kafka_trigger::Config;

use crate::Error;

/// The prefixes of the client properties for authentication and encryption.
const SECURITY: [&str; 5] = ["enable.sasl.", "enable.ssl.", "sasl.", "security.", "ssl."];

/// The variable with the group under which a component of version 0.1 stores its positions: in that
/// version, a batch does not contain the consumer group.
const GROUP_VARIABLE: &str = "kafka_group";

/// The setting of the call.
const HANDLER_DEADLINE: &str = "handler_deadline_ms";

/// The settings of one Kafka trigger: those of the consumer engine and those of the call.
#[derive(Debug, Clone)]
pub struct TriggerConfig {
    /// The component that the trigger calls.
    pub component: String,
    /// The consumer engine's settings.
    pub engine: Config,
    /// The schema registry: the table `schema`. `None` if values are handed over as they are.
    pub schema: Option<SchemaConfig>,
    /// The time limit of a call: `handler_deadline_ms`.
    pub handler_deadline: Duration,
}

/// The settings of a trigger that are not those of the consumer.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct CallSettings {
    /// Maximum time of one call. After it the instance is dropped, and the batch is delivered again
    /// in halves. The time also limits the initialization of a new instance; after it the batch is
    /// delivered again as a whole. Default 60,000.
    pub handler_deadline_ms: u64,
}

impl Default for CallSettings {
    fn default() -> Self {
        Self { handler_deadline_ms: 60_000 }
    }
}

/// What triggers of all types have in addition to the settings of their consumer.
#[derive(Debug, Clone)]
pub struct HandlerSettings {
    /// The time limit of a call: `handler_deadline_ms`.
    pub deadline: Duration,
    /// The schema registry: the table `schema`. `None` if values are handed over as they are.
    pub schema: Option<SchemaConfig>,
}

impl HandlerSettings {
    /// Takes these settings out of those of a trigger, and checks them. Fails with the reason.
    pub fn take(settings: &mut Map<String, Value>) -> Result<Self, String> {
        let call = settings.remove_entry(HANDLER_DEADLINE).into_iter().collect();
        let call = CallSettings::deserialize(Value::Object(call)).map_err(|e| e.to_string())?;
        let schema = settings.remove("schema").map(SchemaConfig::deserialize).transpose();
        let schema = schema.map_err(|e| format!("schema: {e}"))?;
        schema.as_ref().map_or(Ok(()), SchemaConfig::validate).map_err(|e| e.to_string())?;
        Ok(Self { deadline: Duration::from_millis(call.handler_deadline_ms), schema })
    }
}

impl TriggerConfig {
    /// Reads all Kafka triggers of the application, with their variables resolved. The settings of
    /// a trigger take precedence over those of `[application.trigger.kafka]`.
    pub fn read_all(app: &App, variables: &Variables) -> Result<Vec<Self>, Error> {
        app.triggers("kafka").map(|trigger| Self::read(app, trigger, variables)).collect()
    }

    /// Settings for these brokers alone, without a topic and a component.
    pub fn of_brokers(brokers: &str) -> Self {
        Self {
            component: String::new(),
            engine: Config::default().brokers(brokers),
            schema: None,
            handler_deadline: Duration::from_millis(CallSettings::default().handler_deadline_ms),
        }
    }

    /// The configuration of the host's producer: the settings of the first trigger, or those of
    /// `[application.trigger.kafka]` if there is no trigger. `None` if no brokers are specified.
    pub fn producer_of(
        triggers: &[Self],
        app: &App,
        variables: &Variables,
    ) -> Result<Option<ProducerConfig>, Error> {
        if let Some(first) = triggers.first() {
            return Ok(Some(first.producer()));
        }
        let common = app.metadata.triggers.get("kafka").cloned().unwrap_or_default();
        let fault = |message| Error::Config { place: app.origin.place(""), message };
        let config = Self::parse(String::new(), variables.render_map(&common)?).map_err(fault)?;
        Ok((!config.engine.brokers.is_empty()).then(|| config.producer()))
    }

    /// The configuration of a producer for the trigger's brokers, with its TLS, SASL and OAuth
    /// settings.
    pub fn producer(&self) -> ProducerConfig {
        let is_security = |name: &str| SECURITY.iter().any(|prefix| name.starts_with(prefix));
        let client = self.engine.client.filtered(is_security);
        ProducerConfig {
            oauth_token: self.engine.oauth_token.clone(),
            oauth: self.engine.oauth.clone(),
            client,
            ..ProducerConfig::new(&self.engine.brokers)
        }
    }

    fn read(app: &App, trigger: &Trigger, variables: &Variables) -> Result<Self, Error> {
        let fault = |message: String| Error::Config {
            place: app.origin.place(&format!("trigger.{}", trigger.id)),
            message: message.trim_end().into(),
        };
        let common = app.metadata.triggers.get("kafka").cloned();
        let mut settings = common.unwrap_or_default();
        settings.extend(trigger.settings());
        let settings = variables.render_map(&settings)?;
        let component = trigger.component().unwrap_or_default().into();
        let config = Self::parse(component, settings).map_err(&fault)?;
        config.engine.validate().map_err(|e| fault(e.to_string()))?;
        config.check_group(app, variables).map_err(fault)?;
        Ok(config)
    }

    /// Fails if the component stores its positions under a group other than the trigger's. It would
    /// store positions that are never found again.
    fn check_group(&self, app: &App, variables: &Variables) -> Result<(), String> {
        let component = app.components.iter().find(|component| component.id == self.component);
        let template = component.and_then(|component| component.config.get(GROUP_VARIABLE));
        let Some(template) = template else { return Ok(()) };
        let stored = variables.render(template).map_err(|error| error.to_string())?;
        if stored == self.engine.group {
            return Ok(());
        }
        Err(format!(
            "group is `{}`, but component `{}` stores its positions under the group `{stored}` (its \
             variable `{GROUP_VARIABLE}`): give both the same value",
            self.engine.group, self.component
        ))
    }

    fn parse(component: String, mut settings: Map<String, Value>) -> Result<Self, String> {
        let HandlerSettings { deadline, schema } = HandlerSettings::take(&mut settings)?;
        if let Some(topic) = settings.remove("topic") {
            if settings.contains_key("topics") {
                return Err("give either `topic` or `topics`".into());
            }
            settings.insert("topics".into(), Value::Array(vec![topic]));
        }
        let engine = Config::deserialize(Value::Object(settings)).map_err(|e| e.to_string())?;
        Ok(Self { component, engine, schema, handler_deadline: deadline })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Reads a trigger with this group, whose component has these variables.
    fn read(group: &str, variables: &str) -> Result<Vec<TriggerConfig>, Error> {
        read_with(group, variables, "")
    }

    /// The same, with more settings of the trigger.
    fn read_with(
        group: &str,
        variables: &str,
        settings: &str,
    ) -> Result<Vec<TriggerConfig>, Error> {
        let manifest = format!(
            r#"
            spin_manifest_version = 2
            [application]
            name = "counts"
            [variables]
            stored = {{ default = "counters" }}
            [[trigger.kafka]]
            brokers = "127.0.0.1:9092"
            topic = "sales"
            group = "{group}"
            component = "counter"
            {settings}
            [component.counter]
            source = "counter.wasm"
            {variables}
            "#
        );
        let app = spin_app::manifest::parse(Path::new("spin.toml"), &manifest).unwrap();
        let variables = Variables::resolve(&app.variables, |_| None);
        TriggerConfig::read_all(&app, &variables)
    }

    /// Reads a manifest with this table for the triggers' Kafka, and optionally a trigger.
    fn producer(kafka: &str, trigger: &str) -> ProducerConfig {
        let manifest = format!(
            r#"
            spin_manifest_version = 2
            [application]
            name = "counts"
            [variables]
            secret = {{ default = "hunter2" }}
            {kafka}
            {trigger}
            [component.counter]
            source = "counter.wasm"
            "#
        );
        let app = spin_app::manifest::parse(Path::new("spin.toml"), &manifest).unwrap();
        let variables = Variables::resolve(&app.variables, |_| None);
        let triggers = TriggerConfig::read_all(&app, &variables).unwrap();
        let producer = TriggerConfig::producer_of(&triggers, &app, &variables).unwrap().unwrap();
        producer.validate().unwrap();
        producer
    }

    #[test]
    fn the_producer_connects_as_the_triggers_do() {
        let kafka = r#"
            [application.trigger.kafka]
            brokers = "127.0.0.1:9092"
            [application.trigger.kafka.client]
            "security.protocol" = "sasl_ssl"
            "ssl.ca.location" = "ca.pem"
            "enable.ssl.certificate.verification" = "false"
            "fetch.message.max.bytes" = "1000"
            [application.trigger.kafka.oauth]
            token_url = "https://login.example/token"
            client_id = "counts"
            client_secret = "{{ secret }}"
        "#;
        let trigger = r#"
            [[trigger.kafka]]
            topic = "sales"
            group = "counters"
            component = "counter"
        "#;
        for trigger in ["", trigger] {
            let producer = producer(kafka, trigger);
            for name in
                ["security.protocol", "ssl.ca.location", "enable.ssl.certificate.verification"]
            {
                assert!(producer.client.contains(name), "{name}");
            }
            assert!(!producer.client.contains("fetch.message.max.bytes"));
            let oauth = producer.oauth.unwrap();
            assert_eq!(oauth.client_id, "counts");
            assert_eq!(oauth.client_secret, Some("hunter2".to_owned().into()));
        }
    }

    #[test]
    fn a_component_stores_its_positions_under_the_triggers_group() {
        let stored = r#"variables = { kafka_group = "{{ stored }}" }"#;
        assert!(read("counters", stored).is_ok());
        assert!(read("others", "").is_ok(), "it stores no positions");
        let error = read("others", stored).unwrap_err().to_string();
        for part in ["spin.toml", "`others`", "`counter`", "`counters`", "kafka_group"] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }
    #[test]
    fn the_schema_registry_is_a_table_of_its_own() {
        let schema = |settings: &str| read_with("counters", "", &format!("schema = {settings}"));
        let triggers = schema(r#"{ registry = "http://127.0.0.1:8081", mode = "validate" }"#);
        let registry = triggers.unwrap().remove(0).schema.unwrap().registry;
        assert_eq!(registry, "http://127.0.0.1:8081");
        assert_eq!(read("counters", "").unwrap().remove(0).schema, None);
        for (settings, part) in [
            (r#"{ registry = "registry:8081" }"#, "schema.registry"),
            (r#"{ registry = "http://r", format = "avro" }"#, "schema: unknown field `format`"),
        ] {
            let error = schema(settings).unwrap_err().to_string();
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }
}
