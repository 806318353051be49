//! A setting that is never printed.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny};

/// A text that is shown neither by `Debug` nor by an error.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text. It must not be logged, and must not become part of an error.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// The error for a value of another type does not contain the value.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Value {
            Text(String),
            Other(IgnoredAny),
        }
        match Value::deserialize(deserializer)? {
            Value::Text(text) => Ok(Self(text)),
            Value::Other(_) => Err(D::Error::custom("give a text, in quotes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClientProperties;

    #[test]
    fn debug_does_not_show_it() {
        assert_eq!(format!("{:?}", Secret::from("hunter2".to_owned())), "***");
    }

    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "only read by Debug")]
    struct Settings {
        #[serde(default)]
        oauth_token: Option<Secret>,
        #[serde(default)]
        client: ClientProperties,
    }

    #[test]
    fn a_number_is_refused_without_being_shown() {
        for settings in ["oauth_token = 4711", "[client]\n'sasl.password' = 4711"] {
            // The manifest reader also deserializes from a table, which has no source lines for the
            // error.
            let table: toml::Table = toml::from_str(settings).unwrap();
            let error = table.try_into::<Settings>().unwrap_err().to_string();
            assert!(error.contains("give a text, in quotes"), "{error}");
            assert!(!error.contains("4711"), "{error}");
        }
    }
}
