//! Filters: which records are handed to the handler.

use std::str::FromStr;

use serde::Deserialize;

#[cfg(feature = "filters")]
use crate::json::{Document, Part};
use crate::{Error, Message, ParseError, Pointer};

/// The reason to refuse filters without the feature.
const NEEDS_FEATURE: &str = "need the feature `filters`, without which this program was built";

/// A condition that a record must meet: the part `on` of the record either equals a text or begins
/// with one. A missing part meets no condition. A record whose value is not JSON is handed over in
/// spite of a condition on a field, because the field cannot be determined; the handler decides.
///
/// ```
/// use spin_kafka_trigger::{Config, Filter};
///
/// let config = Config::new("localhost:9092", ["sales"], "televisions").filters([
///     Filter::prefix("key".parse()?, "tv-"),
///     Filter::equals("json:/categoria".parse()?, "1"),
/// ]);
/// # let _ = config;
/// # Ok::<(), spin_kafka_trigger::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Filter {
    /// The part: `key`; `header:NAME`, any header of that name; or `json:POINTER`, a field of the
    /// value by its RFC 6901 pointer, such as `json:/categoria`.
    pub on: Field,
    /// The part equals this value. A JSON string is compared without its quotes and escapes; a
    /// number, a boolean or null is compared as it is written in the record: `1`, `1.50`, `true`,
    /// `null`. `1.5` does not equal `1.50`.
    #[serde(default)]
    pub equals: Option<String>,
    /// The part begins with this value. Of JSON values only strings can meet this.
    #[serde(default)]
    pub prefix: Option<String>,
}

/// A part of a record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
#[non_exhaustive]
pub enum Field {
    /// The key's bytes.
    Key,
    /// The value of any header of this name.
    Header(String),
    /// The field of the JSON value at this pointer.
    Json(Pointer),
}

impl FromStr for Field {
    type Err = ParseError;

    /// Parses `key`, `header:NAME` or `json:/FIELD`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.split_once(':') {
            None if text == "key" => Ok(Field::Key),
            Some(("header", name)) if !name.is_empty() => Ok(Field::Header(name.into())),
            Some(("json", pointer)) if pointer.starts_with('/') => pointer.parse().map(Field::Json),
            _ => {
                let reason = format!("`{text}` is none of `key`, `header:NAME` and `json:/FIELD`");
                Err(ParseError(reason))
            }
        }
    }
}

impl TryFrom<String> for Field {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl Filter {
    /// The part equals this text.
    pub fn equals(on: Field, text: impl Into<String>) -> Self {
        Self { on, equals: Some(text.into()), prefix: None }
    }

    /// The part begins with this text.
    pub fn prefix(on: Field, text: impl Into<String>) -> Self {
        Self { on, equals: None, prefix: Some(text.into()) }
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        let is_enabled = cfg!(feature = "filters");
        Error::check("filters", is_enabled, NEEDS_FEATURE)?;
        if self.equals.is_some() == self.prefix.is_some() {
            return Err(Error::setting("filters", "give each filter either `equals` or `prefix`"));
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

    #[cfg(feature = "filters")]
    fn holds_json(&self, part: &Part<'_>) -> bool {
        match part {
            Part::Text(text) => self.holds(text),
            Part::Literal(literal) => self.prefix.is_none() && self.holds(literal.as_bytes()),
            Part::Missing | Part::Container => false,
        }
    }
}

/// A record to which filters are applied. It may be borrowed from librdkafka's fetch buffer, so
/// that only records that pass are copied.
pub(crate) trait Filtered {
    fn key(&self) -> Option<&[u8]>;
    #[cfg(feature = "filters")]
    fn value(&self) -> Option<&[u8]>;
    /// Whether the value of any header of this name meets the condition.
    fn has_header(&self, name: &str, condition: impl Fn(&[u8]) -> bool) -> bool;
}

impl Filtered for Message {
    fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    #[cfg(feature = "filters")]
    fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    fn has_header(&self, name: &str, condition: impl Fn(&[u8]) -> bool) -> bool {
        let mut named = self.headers.iter().filter(|header| &*header.name == name);
        named.any(|header| header.value.as_deref().is_some_and(&condition))
    }
}

/// Whether the record meets every condition. Requires the feature `filters`.
#[cfg(feature = "filters")]
pub fn passes(filters: &[Filter], record: &Message) -> bool {
    pass(filters, record)
}

/// Whether the record meets every condition. The value is parsed at most once, and only if a
/// condition refers to a field of it.
pub(crate) fn pass(filters: &[Filter], record: &impl Filtered) -> bool {
    #[cfg(feature = "filters")]
    let mut document = None;
    filters.iter().all(|filter| match &filter.on {
        Field::Key => record.key().is_some_and(|key| filter.holds(key)),
        Field::Header(name) => record.has_header(name, |value| filter.holds(value)),
        // `Config::validate` refuses filters.
        #[cfg(not(feature = "filters"))]
        Field::Json(_) => true,
        #[cfg(feature = "filters")]
        Field::Json(pointer) => {
            let Some(value) = record.value() else { return false };
            let document = document.get_or_insert_with(|| Document::read(value));
            // Whether a value that is not JSON is acceptable is for the handler to decide.
            document.as_ref().is_none_or(|document| filter.holds_json(&document.at(pointer)))
        }
    })
}

#[cfg(test)]
#[cfg(feature = "filters")]
mod tests {
    use super::*;
    use crate::Header;

    fn record() -> Message {
        let header = |name: &str, value: Option<&str>| Header {
            name: name.into(),
            value: value.map(|text| text.as_bytes().to_vec().into()),
        };
        Message {
            offset: 0,
            timestamp_ms: None,
            key: Some("tv-42".into()),
            value: Some(r#"{"categoria":1,"ok":true,"a":{"b":["x"]},"none":null}"#.into()),
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
    fn every_condition_must_hold_and_values_that_are_not_json_are_handed_over() {
        let filter = |text: &str| toml::from_str::<Filter>(text).unwrap();
        let key = filter("on='key'\nprefix='tv'");
        let json = filter("on='json:/categoria'\nequals='1'");
        assert!(pass(&[key.clone(), json.clone()], &record()));
        let torn = Message { value: Some("{\"categoria\":1".into()), ..record() };
        assert!(pass(&[key.clone(), json.clone()], &torn), "the handler decides");
        let other = filter("on='key'\nprefix='other'");
        assert!(!pass(&[other, json.clone()], &torn), "the key is known");
        let tombstone = Message { value: None, ..record() };
        assert!(!pass(&[json], &tombstone));
        assert!(pass(&[key], &tombstone));
        assert!(pass(&[], &tombstone));
    }

    #[test]
    fn a_field_is_compared_even_if_the_rest_of_the_value_is_unusual() {
        let passes = |value: &str, toml: &str| {
            let record = Message { value: Some(value.to_owned().into()), ..record() };
            pass(&[toml::from_str(toml).unwrap()], &record)
        };
        let one = "on='json:/x'\nequals='1'";
        assert!(passes(r#"{"x":1,"y":1e400}"#, one));
        assert!(passes(r#"{"x":1,"y":"\ud83d"}"#, one));
        assert!(passes(r#"{"\ud83d":0,"x":1}"#, one));
        assert!(passes(&format!(r#"{{"x":1,"y":{}{}}}"#, "[".repeat(500), "]".repeat(500)), one));
        assert!(!passes(r#"{"x":2,"y":1e400}"#, one));
        assert!(passes(r#"{"x":1.50}"#, "on='json:/x'\nequals='1.50'"));
        assert!(!passes(r#"{"x":1.50}"#, "on='json:/x'\nequals='1.5'"));
        assert!(passes(r#"{"x":1e400}"#, "on='json:/x'\nequals='1e400'"));
        let long = "123456789012345678901234567890";
        assert!(passes(&format!(r#"{{"x":{long}}}"#), &format!("on='json:/x'\nequals='{long}'")));
        assert!(passes(r#"{"x":"\u0061b\ud83d"}"#, "on='json:/x'\nprefix='ab'"));
        assert!(!passes(r#"{"x":"a\ud83d"}"#, "on='json:/x'\nequals='a'"));
    }

    #[test]
    fn a_filter_needs_exactly_one_condition() {
        for text in ["on='key'", "on='key'\nequals='a'\nprefix='a'"] {
            assert!(toml::from_str::<Filter>(text).unwrap().validate().is_err());
        }
        assert!(toml::from_str::<Filter>("on='value'\nequals='a'").is_err());
        assert!(toml::from_str::<Filter>("on='json:categoria'\nequals='a'").is_err());
        assert!(toml::from_str::<Filter>("on='json:/a~2'\nequals='a'").is_err());
    }
}
