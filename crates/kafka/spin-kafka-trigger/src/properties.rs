//! Raw librdkafka properties.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::Error;
use crate::secret::Secret;

/// Properties that the engine sets, and the name of the setting that determines each, if there is
/// one.
const OWNED: [(&str, Option<&str>); 17] = [
    ("allow.auto.create.topics", None),
    ("auto.commit.interval.ms", Some("commit_interval_ms")),
    ("auto.offset.reset", Some("start")),
    ("bootstrap.servers", Some("brokers")),
    ("client.id", Some("client_id")),
    ("enable.auto.commit", None),
    ("enable.auto.offset.store", None),
    ("enable.partition.eof", None),
    ("group.id", Some("group")),
    ("group.instance.id", Some("instance_id")),
    ("group.protocol", Some("group_protocol")),
    ("metadata.broker.list", Some("brokers")),
    ("partition.assignment.strategy", None),
    ("queued.max.messages.kbytes", Some("queue_bytes_max")),
    ("queued.min.messages", Some("queue_bytes_max")),
    ("partitioner", None),
    ("session.timeout.ms", Some("session_timeout_ms")),
];

/// librdkafka properties by name. An empty value is ignored and leaves librdkafka's default, so
/// that a variable may be left empty. `Debug` prints only the names: values may be secrets.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "BTreeMap<String, Secret>")]
pub struct ClientProperties(BTreeMap<String, Secret>);

impl ClientProperties {
    /// Rejects the properties that the engine sets.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        for (name, setting) in OWNED {
            if self.0.contains_key(name) {
                let reason = match setting {
                    Some(setting) => format!("set it by `{setting}`"),
                    None => "it is part of how the engine works and cannot be changed".into(),
                };
                return Err(Error::Config { setting: format!("client.\"{name}\""), reason });
            }
        }
        Ok(())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.expose()))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(Secret::expose)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

impl From<&ClientProperties> for BTreeMap<String, String> {
    /// The properties with their values in plain text, for another client of the same brokers.
    fn from(properties: &ClientProperties) -> Self {
        let named = properties.0.iter();
        named.map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
    }
}

impl From<BTreeMap<String, Secret>> for ClientProperties {
    fn from(mut properties: BTreeMap<String, Secret>) -> Self {
        properties.retain(|_, value| !value.expose().is_empty());
        Self(properties)
    }
}

impl From<BTreeMap<String, String>> for ClientProperties {
    fn from(properties: BTreeMap<String, String>) -> Self {
        let secret = properties.into_iter().map(|(name, value)| (name, Secret::from(value)));
        secret.collect::<BTreeMap<_, _>>().into()
    }
}

impl fmt::Debug for ClientProperties {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(name: &str, value: &str) -> ClientProperties {
        BTreeMap::from([(name.to_owned(), value.to_owned())]).into()
    }

    #[test]
    fn values_are_never_printed() {
        let printed = format!("{:?}", properties("sasl.password", "hunter2"));
        assert_eq!(printed, r#"{"sasl.password"}"#);
    }

    #[test]
    fn owned_properties_are_refused_by_name() {
        for (name, setting) in OWNED {
            let error = properties(name, "x").validate().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            assert!(error.contains(setting.unwrap_or("cannot be changed")), "{error}");
        }
        properties("fetch.max.bytes", "1000000").validate().unwrap();
    }

    #[test]
    fn an_empty_value_is_none() {
        assert!(!properties("sasl.mechanism", "").contains("sasl.mechanism"));
        assert!(properties("sasl.mechanism", "PLAIN").contains("sasl.mechanism"));
    }
}
