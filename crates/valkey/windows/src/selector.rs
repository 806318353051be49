//! A part of a record that the settings name.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use spin_kafka_state::Decimal;

use crate::{Record, RecordError, SettingsError};

/// A part of a record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Selector {
    /// A JSON pointer (RFC 6901) into the value.
    Pointer(String),
    /// The value of the first header with this name.
    Header(String),
    /// The key of the record.
    Key,
}

/// A record, whose value is parsed at most once.
pub(crate) struct Event<'a, R> {
    pub record: &'a R,
    json: Option<Value>,
}

impl<'a, R: Record> Event<'a, R> {
    /// Parses the value only if the settings have a pointer into it.
    pub fn new(record: &'a R, needs_json: bool) -> Result<Self, RecordError> {
        let json = if needs_json {
            let value = record.value().ok_or_else(|| RecordError::Missing("value".into()))?;
            let parsed = serde_json::from_slice(value);
            Some(parsed.map_err(|error| RecordError::Json(error.to_string()))?)
        } else {
            None
        };
        Ok(Self { record, json })
    }
}

/// A selected part of a record.
pub(crate) enum Selected<'a> {
    Json(&'a Value),
    Bytes(&'a [u8]),
}

impl Selector {
    pub fn check(&self, setting: &str) -> Result<(), SettingsError> {
        match self {
            Self::Pointer(pointer) if !pointer.is_empty() && !pointer.starts_with('/') => {
                Err(SettingsError::value(setting, "is not a JSON pointer, which begins with `/`"))
            }
            Self::Header(name) if name.is_empty() => {
                Err(SettingsError::value(setting, "has an empty name of a header"))
            }
            _ => Ok(()),
        }
    }

    pub fn is_pointer(&self) -> bool {
        matches!(self, Self::Pointer(_))
    }

    fn place(&self) -> String {
        match self {
            Self::Pointer(pointer) => format!("field `{pointer}`"),
            Self::Header(name) => format!("header `{name}`"),
            Self::Key => "key".into(),
        }
    }

    pub fn form(&self, expected: &'static str) -> RecordError {
        RecordError::Form { place: format!("the {}", self.place()), expected }
    }

    pub fn select<'e, R: Record>(
        &self,
        event: &'e Event<'_, R>,
    ) -> Result<Selected<'e>, RecordError> {
        let found = match self {
            Self::Pointer(pointer) => {
                let json = event.json.as_ref().and_then(|json| json.pointer(pointer));
                json.filter(|value| !value.is_null()).map(Selected::Json)
            }
            Self::Header(name) => event.record.header(name).map(Selected::Bytes),
            Self::Key => event.record.key().map(Selected::Bytes),
        };
        found.ok_or_else(|| RecordError::Missing(self.place()))
    }

    /// The text of a string, number or boolean, or the bytes of a key or header.
    pub fn text<'e, R: Record>(
        &self,
        event: &'e Event<'_, R>,
    ) -> Result<Cow<'e, [u8]>, RecordError> {
        match self.select(event)? {
            Selected::Bytes(bytes) => Ok(bytes.into()),
            Selected::Json(Value::String(text)) => Ok(text.as_bytes().into()),
            Selected::Json(value @ (Value::Number(_) | Value::Bool(_))) => {
                Ok(value.to_string().into_bytes().into())
            }
            Selected::Json(_) => Err(self.form("a string, number or boolean")),
        }
    }

    /// The text of a number, without an exponent.
    fn digits<'e, R: Record>(
        &self,
        event: &'e Event<'_, R>,
        expected: &'static str,
    ) -> Result<Cow<'e, str>, RecordError> {
        match self.select(event)? {
            Selected::Json(Value::String(text)) => Ok(text.into()),
            Selected::Json(Value::Number(number)) => match number.as_f64() {
                // The text of an `f64` has no exponent, that of `number` may have one.
                Some(float) if number.is_f64() => Ok(float.to_string().into()),
                _ => Ok(number.to_string().into()),
            },
            Selected::Bytes(bytes) => {
                str::from_utf8(bytes).map(Cow::from).map_err(|_| self.form(expected))
            }
            Selected::Json(_) => Err(self.form(expected)),
        }
    }

    pub fn integer<R: Record>(&self, event: &Event<'_, R>) -> Result<i64, RecordError> {
        let expected = "an integer";
        self.digits(event, expected)?.parse().map_err(|_| self.form(expected))
    }

    pub fn decimal<R: Record>(&self, event: &Event<'_, R>) -> Result<Decimal, RecordError> {
        let expected = "a decimal with at most 9 digits after the point";
        self.digits(event, expected)?.parse().map_err(|_| self.form(expected))
    }

    pub fn number<R: Record>(&self, event: &Event<'_, R>) -> Result<f64, RecordError> {
        let decimal = self.decimal(event)?;
        decimal.to_string().parse().map_err(|_| self.form("a number"))
    }
}
