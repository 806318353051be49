//! JSON in which no object has two members of the same name. A consumer of the record might take the
//! first of them, while the schema and the key apply to the last.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::shorten::shorten;

/// Parses a document.
pub fn parse(json: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(json).map(|Document(value)| value)
}

/// The members of one object. Objects within their values are not checked.
pub struct Members<V>(pub BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Members<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

struct MembersVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for MembersVisitor<V> {
    type Value = Members<V>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(name) = access.next_key::<String>()? {
            if members.contains_key(&name) {
                let name = shorten(&name);
                return Err(A::Error::custom(format!("the member `{name}` occurs twice")));
            }
            members.insert(name, access.next_value()?);
        }
        Ok(Members(members))
    }
}

/// A value, with all objects in it.
struct Document(Value);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Document, E> {
        Ok(Document(Value::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Document, E> {
        Ok(Document(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Document, E> {
        Ok(Document(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Document, E> {
        Ok(Document(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Document, E> {
        Ok(Document(value.into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Document, E> {
        Ok(Document(value.into()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Document, E> {
        Ok(Document(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Document, A::Error> {
        let mut items = Vec::new();
        while let Some(Document(item)) = access.next_element()? {
            items.push(item);
        }
        Ok(Document(Value::Array(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Document, A::Error> {
        let Members(members) = MembersVisitor::<Document>(PhantomData).visit_map(access)?;
        let members = members.into_iter().map(|(name, Document(value))| (name, value));
        Ok(Document(Value::Object(members.collect())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn repeated_members_are_refused_at_any_depth() {
        for (json, name) in [
            (r#"{"a":1,"a":2}"#, "`a`"),
            (r#"{"a":1,"\u0061":2}"#, "`a`"),
            (r#"[{"x":{"b":1,"c":2,"b":1}}]"#, "`b`"),
        ] {
            let error = parse(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("occurs twice"), "{error}");
        }
        let nested = r#"{"a":{"a":[1,-2,0.5,null,true,"t",18446744073709551615]},"b":{"a":{}}}"#;
        let expected: Value = serde_json::from_str(nested).unwrap();
        assert_eq!(parse(nested.as_bytes()).unwrap(), expected);
        assert!(parse("[".repeat(100_000).as_bytes()).is_err(), "the depth is limited");
    }

    proptest! {
        #[test]
        fn other_documents_are_parsed_as_usual(text in "[\\[\\]{}:,0-9.eE+ \"a-c-]{0,12}") {
            if let Ok(value) = parse(text.as_bytes()) {
                prop_assert_eq!(value, serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}
