//! The librdkafka properties that an operator gives.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::{Error, Secret};

/// The name of a property that the program sets, and the name of the setting that determines it, if
/// there is one.
pub type OwnedProperty = (&'static str, Option<&'static str>);

/// Properties that the program sets for every client.
const OWNED_BY_ALL: [OwnedProperty; 4] = [
    ("allow.auto.create.topics", None),
    ("bootstrap.servers", Some("brokers")),
    ("client.id", Some("client_id")),
    ("metadata.broker.list", Some("brokers")),
];

/// The feature for encrypted connections and the SASL mechanisms that need OpenSSL.
pub(crate) const TLS: &str = "tls";
/// The feature for records that are compressed with zstd.
const ZSTD: &str = "zstd";

/// The feature of this crate without which librdkafka does not accept the property.
fn required_feature(name: &str, value: &str) -> Option<&'static str> {
    let value = value.to_ascii_lowercase();
    match name {
        "security.protocol" => value.ends_with("ssl").then_some(TLS),
        "sasl.mechanism" | "sasl.mechanisms" => {
            (value.starts_with("scram-") || value == "oauthbearer").then_some(TLS)
        }
        "compression.codec" | "compression.type" => (value == ZSTD).then_some(ZSTD),
        _ => name.starts_with("ssl.").then_some(TLS),
    }
}

/// The reason to refuse a setting without this feature.
pub(crate) fn needs_feature(feature: &str) -> String {
    format!("needs the feature `{feature}`, without which this program was built")
}

/// librdkafka properties by name. An empty value is ignored and leaves librdkafka's default, so
/// that a variable may be left empty. `Debug` prints only the names: values may be secrets.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "BTreeMap<String, Secret>")]
pub struct ClientProperties(BTreeMap<String, Secret>);

impl ClientProperties {
    /// Rejects the properties that the program sets: those of every client, and `owned`.
    pub fn refuse_owned(&self, owned: &[OwnedProperty]) -> Result<(), Error> {
        let mut owned = OWNED_BY_ALL.iter().chain(owned);
        match owned.find(|(name, _)| self.contains(name)) {
            None => Ok(()),
            Some((name, Some(setting))) => {
                Err(Error::property(name, format!("set it by `{setting}`")))
            }
            Some((name, None)) => {
                Err(Error::property(name, "the program sets it, and it cannot be changed"))
            }
        }
    }

    /// Rejects the properties that need a feature of this crate that is not enabled.
    pub fn refuse_unsupported(&self) -> Result<(), Error> {
        let enabled = |feature| match feature {
            TLS => cfg!(feature = "tls"),
            _ => cfg!(feature = "zstd"),
        };
        let mut needed = self.0.iter().filter_map(|(name, value)| {
            required_feature(name, value.expose()).map(|feature| (name, feature))
        });
        match needed.find(|(_, feature)| !enabled(*feature)) {
            None => Ok(()),
            Some((name, feature)) => Err(Error::property(name, needs_feature(feature))),
        }
    }

    /// The value of the property, if it is given.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }

    /// Whether the property is given.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The properties whose names meet this condition.
    pub fn filtered(&self, mut condition: impl FnMut(&str) -> bool) -> Self {
        let mut properties = self.0.clone();
        properties.retain(|name, _| condition(name));
        Self(properties)
    }

    /// The names of the properties that are given.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
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
        properties.into_iter().collect()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for ClientProperties {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(properties: I) -> Self {
        let secret = |(name, value): (N, V)| (name.into(), Secret::from(value.into()));
        properties.into_iter().map(secret).collect::<BTreeMap<_, _>>().into()
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
        [(name, value)].into_iter().collect()
    }

    #[test]
    fn values_are_never_printed() {
        let printed = format!("{:?}", properties("sasl.password", "hunter2"));
        assert_eq!(printed, r#"{"sasl.password"}"#);
    }

    #[test]
    fn owned_properties_are_refused_by_name() {
        let own = [("acks", None), ("group.id", Some("group"))];
        for (name, setting) in OWNED_BY_ALL.into_iter().chain(own) {
            let error = properties(name, "x").refuse_owned(&own).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            assert!(error.contains(setting.unwrap_or("cannot be changed")), "{error}");
        }
        properties("fetch.max.bytes", "1000000").refuse_owned(&own).unwrap();
        properties("group.id", "x").refuse_owned(&[]).unwrap();
    }

    #[test]
    fn a_property_that_needs_a_feature_is_refused_without_it() {
        for (name, value, feature) in [
            ("security.protocol", "ssl", Some(TLS)),
            ("security.protocol", "SASL_SSL", Some(TLS)),
            ("security.protocol", "sasl_plaintext", None),
            ("sasl.mechanism", "SCRAM-SHA-512", Some(TLS)),
            ("sasl.mechanisms", "OAUTHBEARER", Some(TLS)),
            ("sasl.mechanism", "PLAIN", None),
            ("ssl.ca.location", "ca.pem", Some(TLS)),
            ("compression.type", "zstd", Some(ZSTD)),
            ("compression.codec", "zstd", Some(ZSTD)),
            ("compression.type", "lz4", None),
        ] {
            assert_eq!(required_feature(name, value), feature, "{name} = {value}");
            let checked = properties(name, value).refuse_unsupported();
            match feature {
                Some(TLS) if !cfg!(feature = "tls") => {
                    assert!(checked.unwrap_err().to_string().contains("feature `tls`"));
                }
                Some(ZSTD) if !cfg!(feature = "zstd") => {
                    assert!(checked.unwrap_err().to_string().contains("feature `zstd`"));
                }
                _ => checked.unwrap(),
            }
        }
    }

    #[test]
    fn an_empty_value_is_ignored() {
        assert!(!properties("sasl.mechanism", "").contains("sasl.mechanism"));
        assert!(properties("sasl.mechanism", "PLAIN").contains("sasl.mechanism"));
    }
}
