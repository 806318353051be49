//! The key of a record.

use http::HeaderMap;
use sale::Violation;
use serde::Deserialize;
use serde_json::Value;

use crate::ConfigError;
use crate::cloud_event::CloudEvent;
use crate::config::{Format, header_name};
use crate::field::field;

/// Maximum length of a key, in bytes.
const KEY_BYTES_MAX: usize = 1 << 10;

/// The JSON of an event, as far as its key needs it.
#[derive(Debug)]
pub enum Json {
    /// There is none.
    None,
    /// A document.
    Any(Value),
    /// An object with typed fields. It was converted to the value of the record.
    Typed {
        /// The string or integer at the pointer of the key.
        key: Option<Vec<u8>>,
    },
}

/// Where the key of a record is. An event without it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// A JSON pointer (RFC 6901) to a string or an integer in the body, or in the data of a
    /// CloudEvent.
    Pointer(String),
    /// A header of the request.
    Header(String),
    /// An attribute of the CloudEvent.
    Attribute(String),
}

impl KeySource {
    pub fn check(&self, format: Format) -> Result<(), ConfigError> {
        match self {
            Self::Pointer(_) if format == Format::Bytes => {
                Err(ConfigError::new("pointer", "requires the format `json` or `cloudevents`"))
            }
            Self::Pointer(pointer) if is_pointer(pointer) => Ok(()),
            Self::Pointer(_) => {
                Err(ConfigError::new("pointer", "must be a JSON pointer, such as `/order/id`"))
            }
            Self::Header(name) => header_name(name).map(drop).map_err(|e| e.within("header")),
            Self::Attribute(_) if format != Format::Cloudevents => {
                Err(ConfigError::new("attribute", "requires the format `cloudevents`"))
            }
            Self::Attribute(_) => Ok(()),
        }
    }

    /// The key of an event.
    pub fn find(
        &self,
        headers: &HeaderMap,
        json: &Json,
        event: Option<&CloudEvent>,
    ) -> Result<Vec<u8>, Violation> {
        let (name, key) = match self {
            Self::Pointer(pointer) => {
                let key = match json {
                    Json::Any(value) => value.pointer(pointer).map(text).transpose(),
                    Json::Typed { key } => Ok(key.clone()),
                    Json::None => Ok(None),
                };
                (field(pointer), key.map_err(|reason| Violation::new(field(pointer), reason))?)
            }
            Self::Header(name) => {
                let mut values = headers.get_all(name).iter();
                let key = values.next().map(|value| value.as_bytes().to_vec());
                if values.next().is_some() {
                    return Err(Violation::new(name.clone(), "must occur only once"));
                }
                (name.clone(), key)
            }
            Self::Attribute(name) => {
                let value = event.and_then(|event| event.attribute(name));
                (name.clone(), value.map(|value| value.as_bytes().to_vec()))
            }
        };
        let length = key.as_ref().map_or(0, Vec::len);
        if (1..=KEY_BYTES_MAX).contains(&length) {
            return Ok(key.unwrap_or_default());
        }
        let reason = format!("is the key of the record and must have 1 to {KEY_BYTES_MAX} bytes");
        Err(Violation::new(name, reason))
    }
}

fn text(value: &Value) -> Result<Vec<u8>, &'static str> {
    match value {
        Value::String(text) => Ok(text.as_bytes().to_vec()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string().into_bytes()),
        _ => Err("is the key of the record and must be a string or an integer"),
    }
}

/// Whether a text is a JSON pointer with at least one part.
fn is_pointer(text: &str) -> bool {
    let escapes = |part: &str| part.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    text.starts_with('/') && escapes(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointer(pointer: &str, json: &Value) -> Result<Vec<u8>, Violation> {
        KeySource::Pointer(pointer.into()).find(&HeaderMap::new(), &Json::Any(json.clone()), None)
    }

    #[test]
    fn strings_and_integers_are_keys() {
        let json = json!({"a": {"b~/": "k"}, "n": -7, "f": 1.5, "e": "", "o": {}});
        assert_eq!(pointer("/a/b~0~1", &json).unwrap(), b"k");
        assert_eq!(pointer("/n", &json).unwrap(), b"-7");
        for wrong in ["/f", "/e", "/o", "/missing"] {
            assert_eq!(pointer(wrong, &json).unwrap_err().field, wrong[1..]);
        }
        let long = json!({"k": "x".repeat(KEY_BYTES_MAX + 1)});
        assert!(pointer("/k", &long).is_err());
    }

    #[test]
    fn a_header_must_occur_once() {
        let key = KeySource::Header("X-Tenant".into());
        let mut headers = HeaderMap::new();
        headers.append("x-tenant", "t".parse().unwrap());
        assert_eq!(key.find(&headers, &Json::None, None).unwrap(), b"t");
        assert_eq!(key.find(&HeaderMap::new(), &Json::None, None).unwrap_err().field, "X-Tenant");
        headers.append("x-tenant", "u".parse().unwrap());
        let twice = key.find(&headers, &Json::None, None).unwrap_err();
        assert_eq!(twice, Violation::new("X-Tenant", "must occur only once"));
    }

    #[test]
    fn sources_that_do_not_fit_the_format() {
        let pointer = |text: &str| KeySource::Pointer(text.into());
        assert_eq!(pointer("/a/b").check(Format::Json), Ok(()));
        for wrong in ["", "a", "/a~2", "/~"] {
            assert!(pointer(wrong).check(Format::Json).is_err(), "{wrong}");
        }
        assert!(pointer("/a").check(Format::Bytes).is_err());
        assert!(KeySource::Attribute("subject".into()).check(Format::Json).is_err());
        assert!(KeySource::Header("not a name".into()).check(Format::Json).is_err());
    }
}
