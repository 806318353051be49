//! CloudEvents 1.0: read from HTTP, written as records in the binary mode of Kafka's binding.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, header};
use percent_encoding::percent_decode;
use sale::Violation;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::media_type::is_json;
use crate::shorten::shorten;
use crate::unique::{self, Members};

/// Maximum number of attributes of an event.
const ATTRIBUTES_MAX: usize = 64;

/// The attribute that the header `content-type` contains.
const DATA_CONTENT_TYPE: &str = "datacontenttype";

/// The extension that is the key of the record by default.
pub const PARTITION_KEY: &str = "partitionkey";

/// The prefixes of attributes in headers of HTTP and of records.
const HTTP_PREFIX: &str = "ce-";
const RECORD_PREFIX: &str = "ce_";

const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

const VERSION: &str = "1.0";

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudEvent {
    attributes: BTreeMap<String, String>,
    /// The data; empty if there is none.
    pub data: Bytes,
}

impl CloudEvent {
    /// An event in the binary mode: attributes in headers, the data in the body.
    pub fn from_binary(headers: &HeaderMap, body: Bytes) -> Result<Self, Violation> {
        let mut attributes = BTreeMap::new();
        for (name, value) in headers {
            let attribute = match name.as_str().strip_prefix(HTTP_PREFIX) {
                Some(attribute) => attribute,
                None if *name == header::CONTENT_TYPE => DATA_CONTENT_TYPE,
                None => continue,
            };
            let fault = |reason: &str| Err(Violation::new(shorten(name.as_str()), reason));
            let text = match attribute {
                DATA_CONTENT_TYPE => str::from_utf8(value.as_bytes()).map(Into::into),
                _ => {
                    let unquoted = unquote(value.as_bytes());
                    let text = percent_decode(&unquoted).decode_utf8();
                    text.map(|text| Cow::Owned(text.into_owned()))
                }
            };
            let Ok(text) = text else {
                return fault("must be UTF-8, encoded with percent signs");
            };
            if attributes.insert(attribute.to_owned(), text.into_owned()).is_some() {
                return fault("must occur only once");
            }
        }
        Self { attributes, data: body }.checked()
    }

    /// An event in the JSON format.
    pub fn from_json(json: &[u8]) -> Result<Self, Violation> {
        let Members::<&RawValue>(members) = serde_json::from_slice(json).map_err(|e| {
            Violation::new("body", format!("must be a CloudEvent in the JSON format: {e}"))
        })?;
        let mut attributes = BTreeMap::new();
        let (mut data, mut base64) = (None, None);
        for (name, raw) in members {
            match name.as_str() {
                "data" => data = Some(raw.get()),
                "data_base64" => base64 = Some(raw.get()),
                _ => {
                    if let Some(text) = attribute_text(&name, raw)? {
                        attributes.insert(name, text);
                    }
                }
            }
        }
        let data = match (data, base64) {
            (Some(_), Some(_)) => {
                return Err(Violation::new("data_base64", "must not occur together with `data`"));
            }
            (Some("null") | None, None) => Bytes::new(),
            (Some(data), None) => data_of_json(data, &mut attributes)?,
            (None, Some(text)) => {
                let bytes = serde_json::from_str::<String>(text).ok();
                let bytes = bytes.and_then(|text| STANDARD.decode(text).ok());
                bytes.ok_or_else(|| Violation::new("data_base64", "must be base64"))?.into()
            }
        };
        Self { attributes, data }.checked()
    }

    /// Several events in the JSON format. Returns the JSON of each; at most `max` and one more.
    pub fn split_batch(body: &[u8], max: usize) -> Result<Vec<&[u8]>, Violation> {
        let array: Vec<&RawValue> = serde_json::from_slice(body).map_err(|e| {
            Violation::new("body", format!("must be a JSON array of CloudEvents: {e}"))
        })?;
        if !(1..=max).contains(&array.len()) {
            return Err(Violation::new("body", format!("must contain 1 to {max} events")));
        }
        Ok(array.into_iter().map(|event| event.get().as_bytes()).collect())
    }

    fn checked(self) -> Result<Self, Violation> {
        for name in REQUIRED {
            if self.attribute(name).is_none_or(str::is_empty) {
                return Err(Violation::new(name, "is an attribute that a CloudEvent must have"));
            }
        }
        if self.attribute("specversion") != Some(VERSION) {
            return Err(Violation::new("specversion", format!("must be {VERSION}")));
        }
        if self.attributes.len() > ATTRIBUTES_MAX {
            let reason = format!("must be at most {ATTRIBUTES_MAX}");
            return Err(Violation::new("attributes", reason));
        }
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        for (name, text) in &self.attributes {
            let reason = if !is_name(name) {
                "is not a name of an attribute: only a-z and 0-9 are allowed"
            } else if name == "data" {
                "is not a name of an attribute"
            } else if text.chars().any(char::is_control) {
                "must have no control characters"
            } else {
                continue;
            };
            return Err(Violation::new(shorten(name), reason));
        }
        Ok(self)
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// The data as JSON, if it has a JSON media type.
    pub fn json(&self) -> Result<Option<Value>, Violation> {
        if self.data.is_empty() || !self.attribute(DATA_CONTENT_TYPE).is_some_and(is_json) {
            return Ok(None);
        }
        let json = unique::parse(&self.data);
        json.map(Some).map_err(|e| Violation::new("data", format!("must be JSON: {e}")))
    }

    /// The headers of the record.
    pub fn record_headers(&self) -> Vec<(String, Vec<u8>)> {
        let header = |(name, value): (&String, &String)| {
            let name = match name.as_str() {
                DATA_CONTENT_TYPE => header::CONTENT_TYPE.as_str().to_owned(),
                name => format!("{RECORD_PREFIX}{name}"),
            };
            (name, value.as_bytes().to_vec())
        };
        self.attributes.iter().map(header).collect()
    }
}

/// The value of a header without the double quotes around it, and without the backslashes that
/// escape characters within them.
fn unquote(value: &[u8]) -> Cow<'_, [u8]> {
    let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    let Some(inner) = inner else {
        return value.into();
    };
    let mut bytes = inner.iter().copied();
    let unescape = || match bytes.next() {
        Some(b'\\') => bytes.next(),
        byte => byte,
    };
    std::iter::from_fn(unescape).collect::<Vec<_>>().into()
}

/// The text of an attribute in JSON; none for null, which means that it is not set.
fn attribute_text(name: &str, raw: &RawValue) -> Result<Option<String>, Violation> {
    let value: Value = serde_json::from_str(raw.get())
        .map_err(|e| Violation::new(shorten(name), e.to_string()))?;
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Bool(value) => Ok(Some(value.to_string())),
        Value::Number(number) if !number.is_f64() => Ok(Some(number.to_string())),
        _ => Err(Violation::new(shorten(name), "must be a string, a boolean or an integer")),
    }
}

/// The bytes of the member `data`: JSON as it is, unless the media type is another one, and then the
/// text of a string. A missing media type means JSON, and is set.
fn data_of_json(data: &str, attributes: &mut BTreeMap<String, String>) -> Result<Bytes, Violation> {
    let media_type =
        attributes.entry(DATA_CONTENT_TYPE.into()).or_insert_with(|| "application/json".into());
    if is_json(media_type) {
        return Ok(data.as_bytes().to_vec().into());
    }
    let text: String = serde_json::from_str(data).map_err(|_| {
        Violation::new("data", "must be a string, because `datacontenttype` is not JSON")
    })?;
    Ok(text.into_bytes().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    const BINARY: [(&str, &str); 4] =
        [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/shop"), ("ce-type", "sold")];

    fn structured(members: Value) -> Result<CloudEvent, Violation> {
        let mut event = json!({"specversion": "1.0", "id": "1", "source": "/shop", "type": "sold"});
        event.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        CloudEvent::from_json(event.to_string().as_bytes())
    }

    fn record(event: &CloudEvent) -> Vec<(String, String)> {
        let text = |(name, value)| (name, String::from_utf8(value).unwrap());
        event.record_headers().into_iter().map(text).collect()
    }

    #[test]
    fn both_modes_are_the_same_event() {
        let more = [("content-type", "application/json"), ("ce-subject", "%C3%A1 %25"), ("x", "y")];
        let binary = headers(&[&BINARY[..], &more].concat());
        let binary = CloudEvent::from_binary(&binary, r#"{"a": 1.0}"#.into()).unwrap();
        let text = r#"{"specversion":"1.0","id":"1","source":"/shop","type":"sold",
            "datacontenttype":"application/json","subject":"á %","data":{"a": 1.0}}"#;
        assert_eq!(CloudEvent::from_json(text.as_bytes()).unwrap(), binary);
        let expected = [
            ("content-type", "application/json"),
            ("ce_id", "1"),
            ("ce_source", "/shop"),
            ("ce_specversion", "1.0"),
            ("ce_subject", "á %"),
            ("ce_type", "sold"),
        ];
        assert_eq!(record(&binary), expected.map(|(name, value)| (name.into(), value.into())));
        assert_eq!(binary.json().unwrap(), Some(json!({"a": 1.0})));
    }

    #[test]
    fn data_by_its_media_type() {
        let data = |members| structured(members).map(|event| event.data);
        assert_eq!(data(json!({"data": "text"})).unwrap(), r#""text""#);
        assert_eq!(data(json!({"data": "text", "datacontenttype": "text/plain"})).unwrap(), "text");
        assert_eq!(data(json!({"data_base64": "/w=="})).unwrap(), &[0xff][..]);
        for empty in [json!({}), json!({"data": null})] {
            let event = structured(empty).unwrap();
            assert_eq!((&event.data[..], event.json()), (&b""[..], Ok(None)));
        }
        for (wrong, field) in [
            (json!({"data": {}, "datacontenttype": "text/plain"}), "data"),
            (json!({"data_base64": "?"}), "data_base64"),
            (json!({"data": 1, "data_base64": ""}), "data_base64"),
        ] {
            assert_eq!(data(wrong).unwrap_err().field, field);
        }
    }

    #[test]
    fn extensions_are_scalars() {
        let event = structured(json!({"a": true, "b": -5, "c": "x", "d": null})).unwrap();
        let values = ["a", "b", "c", "d"].map(|name| event.attribute(name));
        assert_eq!(values, [Some("true"), Some("-5"), Some("x"), None]);
        for (wrong, field) in [
            (json!({"a": {}}), "a"),
            (json!({"a": 0.5}), "a"),
            (json!({"A": 1}), "A"),
            (json!({"a_b": 1}), "a_b"),
            (json!({"": 1}), ""),
        ] {
            assert_eq!(structured(wrong).unwrap_err().field, field);
        }
        let many: serde_json::Map<_, _> = (0..70).map(|n| (format!("x{n}"), json!(1))).collect();
        assert_eq!(structured(Value::Object(many)).unwrap_err().field, "attributes");
    }

    #[test]
    fn attributes_that_are_missing_or_twice() {
        for name in REQUIRED {
            assert_eq!(structured(json!({name: null})).unwrap_err().field, name);
            assert_eq!(structured(json!({name: ""})).unwrap_err().field, name);
        }
        assert_eq!(structured(json!({"specversion": "0.3"})).unwrap_err().field, "specversion");
        let twice = headers(&[&BINARY[..], &[("ce-id", "2")]].concat());
        assert_eq!(CloudEvent::from_binary(&twice, Bytes::new()).unwrap_err().field, "ce-id");
        let latin = headers(&[&BINARY[..], &[("ce-subject", "%E1")]].concat());
        assert_eq!(CloudEvent::from_binary(&latin, Bytes::new()).unwrap_err().field, "ce-subject");
        let none = CloudEvent::from_binary(&HeaderMap::new(), Bytes::new());
        assert_eq!(none.unwrap_err().field, "specversion");
    }

    #[test]
    fn quoted_headers() {
        let subject = |value: &str| {
            let headers = headers(&[&BINARY[..], &[("ce-subject", value)]].concat());
            let event = CloudEvent::from_binary(&headers, Bytes::new()).unwrap();
            event.attribute("subject").unwrap().to_owned()
        };
        for (value, text) in [
            (r#""a b""#, "a b"),
            (r#""a\"\\%20b""#, r#"a"\ b"#),
            ("%22a%22", r#""a""#),
            (r#"a"b"#, r#"a"b"#),
            (r#"""#, r#"""#),
            (r#""""#, ""),
        ] {
            assert_eq!(subject(value), text, "{value}");
        }
    }

    #[test]
    fn control_characters_and_data_are_no_attributes() {
        for (name, value) in [("ce-subject", "a%00"), ("ce-subject", "%C2%85"), ("ce-data", "x")] {
            let headers = headers(&[&BINARY[..], &[(name, value)]].concat());
            let violation = CloudEvent::from_binary(&headers, Bytes::new()).unwrap_err();
            assert_eq!(violation.field, name[3..], "{value}");
        }
        assert_eq!(structured(json!({"subject": "a\nb"})).unwrap_err().field, "subject");
    }

    #[test]
    fn members_that_occur_twice() {
        let event = |members: &str| {
            let text =
                format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t",{members}}}"#);
            CloudEvent::from_json(text.as_bytes()).and_then(|event| event.json())
        };
        assert_eq!(event(r#""data":{"a":1}"#), Ok(Some(json!({"a": 1}))));
        for (members, field, name) in [
            (r#""id":"2""#, "body", "`id`"),
            (r#""data":1,"data":2"#, "body", "`data`"),
            (r#""data":{"a":1,"a":2}"#, "data", "`a`"),
        ] {
            let violation = event(members).unwrap_err();
            assert_eq!(violation.field, field);
            assert!(violation.reason.contains(name), "{violation}");
        }
    }

    #[test]
    fn batches_are_limited() {
        let split = |body: &str| CloudEvent::split_batch(body.as_bytes(), 2).map(|e| e.len());
        assert_eq!(split("[{},{}]"), Ok(2));
        for wrong in ["[]", "[1,2,3]", "{}", ""] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_cause_a_panic(bytes: Vec<u8>, text: String) {
            let _ = CloudEvent::from_json(&bytes);
            let _ = structured(json!({"subject": text, "data_base64": text}));
            let _ = CloudEvent::split_batch(&bytes, 2);
        }
    }
}
