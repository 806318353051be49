//! The settings of one Kafka client, and its creation.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;

use crate::{ClientProperties, Error, TokenSource, oauth};

/// The settings of one Kafka client: its defaults, the operator's properties, and the properties
/// that the operator cannot change.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    brokers: String,
    defaults: BTreeMap<&'static str, String>,
    operator: ClientProperties,
    fixed: BTreeMap<&'static str, String>,
}

impl ClientSettings {
    /// Settings with these bootstrap brokers and these properties of the operator.
    pub fn new(brokers: &str, operator: &ClientProperties) -> Self {
        Self {
            brokers: brokers.trim().into(),
            defaults: BTreeMap::new(),
            operator: operator.clone(),
            fixed: BTreeMap::new(),
        }
    }

    /// Sets a librdkafka property that the operator's properties override.
    pub fn set_default(&mut self, name: &'static str, value: impl Into<String>) -> &mut Self {
        self.defaults.insert(name, value.into());
        self
    }

    /// Sets a librdkafka property. It overrides the operator's properties.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) -> &mut Self {
        self.fixed.insert(name, value.into());
        self
    }

    /// Sets the mechanism, unless the operator does, if the client has a source of tokens.
    pub fn set_tokens(&mut self, tokens: Option<&TokenSource>) -> &mut Self {
        match tokens {
            Some(_) => self.set_default("sasl.mechanism", oauth::MECHANISM),
            None => self,
        }
    }

    /// Creates a consumer, a producer or an admin client. The client connects later. Fails if a
    /// property needs a feature of this crate that is not enabled.
    pub fn create<T, C>(&self, context: C) -> Result<T, Error>
    where
        C: ClientContext,
        T: FromClientConfigAndContext<C>,
    {
        self.operator.refuse_unsupported()?;
        T::from_config_and_context(&self.native(), context).map_err(|error| self.error(error))
    }

    /// The error for a client that could not be created. The values of properties are left out,
    /// because they may be secrets.
    fn error(&self, error: KafkaError) -> Error {
        let reason = match error {
            KafkaError::ClientConfig(_, _, name, _) if self.operator.contains(&name) => {
                let reason = "librdkafka does not know it, does not accept its value, or was built \
                              without it";
                return Error::property(&name, reason);
            }
            KafkaError::ClientConfig(_, reason, name, _) => format!("{name}: {reason}"),
            error => error.to_string(),
        };
        Error::Client { brokers: self.brokers.clone(), reason }
    }

    /// The properties in plain text. The result contains secrets, so only `create` may use it.
    fn native(&self) -> ClientConfig {
        let mut native = ClientConfig::new();
        for (name, value) in &self.defaults {
            native.set(*name, value);
        }
        for (name, value) in self.operator.iter() {
            native.set(name, value.expose());
        }
        for (name, value) in &self.fixed {
            native.set(*name, value);
        }
        native.set("bootstrap.servers", &self.brokers).set_log_level(RDKafkaLogLevel::Info);
        native
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::BaseConsumer;

    use super::*;
    use crate::BasicContext;

    fn settings(properties: &[(&str, &str)]) -> ClientSettings {
        ClientSettings::new(" localhost:9092 ", &properties.iter().copied().collect())
    }

    fn refused(settings: &ClientSettings) -> Error {
        let created = settings.create::<BaseConsumer<BasicContext>, _>(BasicContext::default());
        created.map(drop).unwrap_err()
    }

    #[test]
    fn the_operator_overrides_the_defaults_only() {
        let mut settings = settings(&[("linger.ms", "1"), ("acks", "1")]);
        settings.set_default("linger.ms", "5").set_default("retries", "7").set("acks", "all");
        let native = settings.native();
        assert_eq!(native.get("linger.ms"), Some("1"));
        assert_eq!(native.get("retries"), Some("7"));
        assert_eq!(native.get("acks"), Some("all"));
        assert_eq!(native.get("bootstrap.servers"), Some("localhost:9092"));
    }

    #[test]
    fn a_property_that_librdkafka_rejects_is_named_without_its_value() {
        let settings = settings(&[("sasl.passwort", "hunter2")]);
        let error = refused(&settings);
        assert!(matches!(error, Error::Setting { .. }), "{error}");
        assert!(error.to_string().contains("client.\"sasl.passwort\""), "{error}");
        let native = KafkaError::from(error.clone());
        assert!(!format!("{error} {error:?} {native} {settings:?}").contains("hunter2"));
    }

    #[test]
    fn a_property_of_the_program_that_librdkafka_rejects_names_the_brokers() {
        let mut settings = settings(&[]);
        settings.set("group.protocol", "none");
        let error = refused(&settings).to_string();
        assert!(error.contains("localhost:9092") && error.contains("group.protocol"), "{error}");
    }
}
