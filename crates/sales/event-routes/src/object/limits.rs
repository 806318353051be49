//! The limits of values, which are checked after the whole object was read.

use std::fmt::Display;

use sale::Violation;
use serde::Deserialize;

use super::read::{Object, Value};
use super::shape::Type;

/// The limits of a number.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range<T> {
    /// The smallest value.
    pub min: Option<T>,
    /// The largest value.
    pub max: Option<T>,
}

/// The limits of a string.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextLimits {
    /// Minimum length, in bytes of UTF-8.
    #[serde(default)]
    pub bytes_min: usize,
    /// Maximum length, in bytes of UTF-8.
    pub bytes_max: usize,
    /// Whether control characters are allowed.
    #[serde(default)]
    pub control_characters: bool,
}

impl<T: PartialOrd + Display + Copy> Range<T> {
    /// Whether there is a value within the limits.
    pub fn is_possible(&self) -> bool {
        self.min.zip(self.max).is_none_or(|(min, max)| min <= max)
    }

    fn check(&self, value: T, noun: &str) -> Result<(), String> {
        if self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max) {
            return Ok(());
        }
        Err(match (self.min, self.max) {
            (Some(min), Some(max)) => format!("must be {noun} from {min} to {max}"),
            (Some(min), None) => format!("must be {noun} of at least {min}"),
            (_, max) => {
                let max = max.map(|max| max.to_string()).unwrap_or_default();
                format!("must be {noun} of at most {max}")
            }
        })
    }
}

impl TextLimits {
    fn check(&self, text: &str) -> Result<(), String> {
        let Self { bytes_min, bytes_max, control_characters } = *self;
        if !(bytes_min..=bytes_max).contains(&text.len()) {
            return Err(format!("must be {bytes_min} to {bytes_max} bytes long"));
        }
        if !control_characters && text.chars().any(char::is_control) {
            return Err("must not contain control characters".into());
        }
        Ok(())
    }
}

impl Object<'_, '_> {
    /// Checks the limits of all fields, and returns the first violation.
    pub(super) fn check(&self) -> Result<(), Violation> {
        for (field, value) in self.shape.fields.iter().zip(&self.values) {
            if let Some(value) = value {
                check(&field.kind, value).map_err(|inner| within(&field.name, inner))?;
            }
        }
        Ok(())
    }
}

/// The field of the violation is the path from the value; empty if it is the value itself.
fn check(kind: &Type, value: &Value<'_, '_>) -> Result<(), Violation> {
    let checked = match (kind, value) {
        (Type::I32(range), Value::I32(value)) => range.check(*value, "an integer"),
        (Type::I64(range), Value::I64(value)) => range.check(*value, "an integer"),
        (Type::F64(range), Value::F64(value)) => range.check(*value, "a number"),
        (Type::Text(limits), Value::Text(text)) => limits.check(text),
        (Type::Object(_), Value::Object(object)) => return object.check(),
        (Type::List(list), Value::List(items)) => {
            for (index, item) in items.iter().enumerate() {
                check(&list.of, item).map_err(|inner| within(&format!("[{index}]"), inner))?;
            }
            // More than the maximum are not read.
            if items.len() < list.items_min { Err(list.reason()) } else { Ok(()) }
        }
        // A value has the type by which it was read, and a boolean has no limits.
        _ => Ok(()),
    };
    checked.map_err(|reason| Violation::new("", reason))
}

fn within(outer: &str, inner: Violation) -> Violation {
    let Violation { field, reason } = inner;
    let separator = if field.is_empty() || field.starts_with('[') { "" } else { "." };
    Violation::new(format!("{outer}{separator}{field}"), reason)
}
