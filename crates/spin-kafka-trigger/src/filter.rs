//! Which records are handed over.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use crate::{Error, Message};

/// A condition that a record must meet: one of [`Filter::equals`] and [`Filter::prefix`] on
/// one part of it. A part that is missing meets none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// The part: `key`; `header:NAME`, any header of that name; or `json:POINTER`, a field of
    /// the value as RFC 6901 points to it, such as `json:/categoria`.
    pub on: Field,
    /// The part is exactly this. Numbers, booleans and null of JSON are compared as they are
    /// written: `1`, `true`, `null`.
    #[serde(default)]
    pub equals: Option<String>,
    /// The part begins with this. In JSON only text does.
    #[serde(default)]
    pub prefix: Option<String>,
}

/// A part of a record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Field {
    /// The key's bytes.
    Key,
    /// The value of any header of this name.
    Header(String),
    /// The field of the JSON value at this pointer.
    Json(String),
}

impl TryFrom<String> for Field {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "key" => Ok(Field::Key),
            Some(("header", name)) if !name.is_empty() => Ok(Field::Header(name.into())),
            Some(("json", pointer)) if pointer.starts_with('/') => Ok(Field::Json(pointer.into())),
            _ => Err(format!("`{text}` is none of `key`, `header:NAME` and `json:/FIELD`")),
        }
    }
}

impl Filter {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        if self.equals.is_some() == self.prefix.is_some() {
            return Err(Error::Config {
                setting: "filters".into(),
                reason: "give each filter either `equals` or `prefix`".into(),
            });
        }
        Ok(())
    }

    fn holds(&self, part: &[u8]) -> bool {
        match (&self.equals, &self.prefix) {
            (Some(text), _) => part == text.as_bytes(),
            (None, Some(text)) => part.starts_with(text.as_bytes()),
            (None, None) => true,
        }
    }

    fn holds_json(&self, field: &Value) -> bool {
        let text = match field {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            Value::Number(_) | Value::Bool(_) | Value::Null if self.prefix.is_none() => {
                Cow::Owned(field.to_string())
            }
            _ => return false,
        };
        self.holds(text.as_bytes())
    }
}

/// Whether the record meets every condition. A value is parsed as JSON at most once.
pub(crate) fn pass(filters: &[Filter], record: &Message) -> bool {
    let mut json: Option<Value> = None;
    filters.iter().all(|filter| match &filter.on {
        Field::Key => record.key.as_deref().is_some_and(|key| filter.holds(key)),
        Field::Header(name) => record
            .headers
            .iter()
            .filter(|header| header.name == *name)
            .any(|header| header.value.as_deref().is_some_and(|value| filter.holds(value))),
        Field::Json(pointer) => json
            .get_or_insert_with(|| {
                let value = record.value.as_deref().unwrap_or_default();
                // What is no JSON has no fields.
                serde_json::from_slice(value).unwrap_or_default()
            })
            .pointer(pointer)
            .is_some_and(|field| filter.holds_json(field)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Header;

    fn record() -> Message {
        let header = |name: &str, value: Option<&str>| Header {
            name: name.into(),
            value: value.map(|text| text.as_bytes().to_vec()),
        };
        Message {
            offset: 0,
            timestamp_ms: None,
            key: Some(b"tv-42".to_vec()),
            value: Some(br#"{"categoria":1,"ok":true,"a":{"b":["x"]},"none":null}"#.to_vec()),
            headers: vec![
                header("kind", None),
                header("kind", Some("sale")),
                header("e", Some("")),
            ],
        }
    }

    fn passes(toml: &str) -> bool {
        let filter: Filter = toml::from_str(toml).unwrap();
        filter.validate().unwrap();
        pass(&[filter], &record())
    }

    #[test]
    fn conditions_on_each_part() {
        assert!(passes("on='key'\nequals='tv-42'"));
        assert!(passes("on='key'\nprefix='tv-'"));
        assert!(!passes("on='key'\nequals='tv-'"));
        assert!(passes("on='header:kind'\nequals='sale'"), "any of the headers");
        assert!(passes("on='header:e'\nequals=''"));
        assert!(!passes("on='header:missing'\nprefix=''"));
        assert!(passes("on='json:/categoria'\nequals='1'"));
        assert!(!passes("on='json:/categoria'\nprefix='1'"), "a number has no prefix");
        assert!(passes("on='json:/ok'\nequals='true'"));
        assert!(passes("on='json:/none'\nequals='null'"));
        assert!(passes("on='json:/a/b/0'\nprefix='x'"));
        assert!(!passes("on='json:/a/b'\nequals='x'"));
    }

    #[test]
    fn every_condition_must_hold_and_what_is_no_json_meets_none() {
        let filter = |text: &str| toml::from_str::<Filter>(text).unwrap();
        let key = filter("on='key'\nprefix='tv'");
        let json = filter("on='json:/categoria'\nequals='1'");
        assert!(pass(&[key.clone(), json.clone()], &record()));
        let torn = Message { value: Some(b"{\"categoria\":1".to_vec()), ..record() };
        assert!(!pass(&[key.clone(), json.clone()], &torn));
        let tombstone = Message { value: None, ..record() };
        assert!(!pass(&[json], &tombstone));
        assert!(pass(&[key], &tombstone));
        assert!(pass(&[], &tombstone));
    }

    #[test]
    fn a_filter_that_says_nothing_or_too_much_is_refused() {
        for text in ["on='key'", "on='key'\nequals='a'\nprefix='a'"] {
            assert!(toml::from_str::<Filter>(text).unwrap().validate().is_err());
        }
        assert!(toml::from_str::<Filter>("on='value'\nequals='a'").is_err());
        assert!(toml::from_str::<Filter>("on='json:categoria'\nequals='a'").is_err());
    }
}
