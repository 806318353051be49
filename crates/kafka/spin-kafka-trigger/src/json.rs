//! Finds a field of a JSON value without validating the rest: numbers of any size and strings with
//! lone surrogates are valid JSON and are accepted.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::Pointer;

/// The text of a JSON value.
pub(crate) struct Document<'a>(&'a RawValue);

/// The value at a pointer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// There is no value.
    Missing,
    /// A string in UTF-8. Lone surrogates are encoded in the same way.
    Text(Vec<u8>),
    /// The text of a number, a boolean or null.
    Literal(&'a str),
    /// An object or an array.
    Container,
}

impl<'a> Document<'a> {
    /// Returns `None` if the bytes are not JSON.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().map(Self)
    }

    /// The value at the pointer. If an object has several members of the same name, the last one is
    /// used.
    pub fn at(&self, pointer: &Pointer) -> Part<'a> {
        let mut value = self.0;
        for step in pointer.steps() {
            let inner = match value.get().as_bytes().first() {
                Some(b'{') => member(value, step),
                Some(b'[') => element(value, step),
                _ => None,
            };
            let Some(inner) = inner else { return Part::Missing };
            value = inner;
        }
        let text = value.get();
        match text.as_bytes().first() {
            Some(b'"') => serde_json::from_str::<Text>(text)
                .map_or(Part::Missing, |Text(text)| Part::Text(text)),
            Some(b'{' | b'[') => Part::Container,
            _ => Part::Literal(text),
        }
    }
}

fn member<'a>(object: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    struct Members<'n>(&'n str);

    impl<'de> Visitor<'de> for Members<'_> {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(Text(name)) = members.next_key()? {
                if name == self.0.as_bytes() {
                    found = Some(members.next_value()?);
                } else {
                    members.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }

    impl<'de> DeserializeSeed<'de> for Members<'_> {
        type Value = Option<&'de RawValue>;

        fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
            from.deserialize_map(self)
        }
    }

    let mut from = serde_json::Deserializer::from_str(object.get());
    Members(name).deserialize(&mut from).ok().flatten()
}

fn element<'a>(array: &'a RawValue, index: &str) -> Option<&'a RawValue> {
    let is_index = index == "0" || !index.starts_with(['0', '+']);
    let index: usize = index.parse().ok().filter(|_| is_index)?;
    let elements: Vec<&RawValue> = serde_json::from_str(array.get()).ok()?;
    elements.get(index).copied()
}

/// A JSON string without its quotes and escapes. Lone surrogates are not an error.
struct Text(Vec<u8>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Text;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(bytes.to_vec()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.into()))
            }
        }

        from.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(json: &'a str, pointer: &str) -> Part<'a> {
        Document::read(json.as_bytes()).unwrap().at(&pointer.parse().unwrap())
    }

    #[test]
    fn pointers_lead_into_objects_and_arrays() {
        let json = r#" {"a/b":{"~":[1, "x", [2.50]]},"":null,"n":[true]} "#;
        assert_eq!(at(json, "/a~1b/~0/0"), Part::Literal("1"));
        assert_eq!(at(json, "/a~1b/~0/1"), Part::Text(b"x".to_vec()));
        assert_eq!(at(json, "/a~1b/~0/2/0"), Part::Literal("2.50"));
        assert_eq!(at(json, "/a~1b/~0/2"), Part::Container);
        assert_eq!(at(json, "/"), Part::Literal("null"));
        assert_eq!(at(json, "/n/0"), Part::Literal("true"));
        for missing in ["/x", "/n/1", "/n/00", "/n/+0", "/n/-", "/n/0/0", "/a~1b/~0/x"] {
            assert_eq!(at(json, missing), Part::Missing, "{missing}");
        }
    }

    #[test]
    fn the_last_member_of_a_name_is_used() {
        assert_eq!(at(r#"{"x":1,"\u0078":2}"#, "/x"), Part::Literal("2"));
    }

    #[test]
    fn bytes_that_are_not_json_are_rejected() {
        for bytes in [&b"{"[..], b"", b"{} {}", b"\xff", b"{\"a\":\"\xff\"}", b"NaN"] {
            assert!(Document::read(bytes).is_none(), "{bytes:?}");
        }
    }
}
