//! Reads an object from JSON.

use std::borrow::Cow;
use std::fmt;

use sale::{Violation, parse_object};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::shape::{List, Shape, Type};

/// An object within the limits of its fields. Strings without escapes are borrowed from the JSON.
#[derive(Debug)]
pub struct Object<'s, 'j> {
    pub(super) shape: &'s Shape,
    /// The value of each field of the shape.
    pub(super) values: Vec<Option<Value<'s, 'j>>>,
}

/// A value of a field.
#[derive(Debug)]
pub enum Value<'s, 'j> {
    /// `true` or `false`.
    Boolean(bool),
    /// An integer of 32 bits.
    I32(i32),
    /// An integer of 64 bits.
    I64(i64),
    /// A number.
    F64(f64),
    /// A string.
    Text(Cow<'j, str>),
    /// An object.
    Object(Object<'s, 'j>),
    /// A list.
    List(Vec<Value<'s, 'j>>),
}

impl Shape {
    /// Parses an object that has exactly these fields. The violation names the field that is wrong.
    pub fn parse<'s, 'j>(&'s self, json: &'j [u8]) -> Result<Object<'s, 'j>, Violation> {
        let object = parse_object(json, ObjectSeed(self))?;
        object.check()?;
        Ok(object)
    }
}

impl Object<'_, '_> {
    /// The string or integer at a place that [`Shape::key_place`] has returned, as text; `None` if
    /// one of the fields is missing.
    pub fn key(&self, place: &[usize]) -> Option<Vec<u8>> {
        let (first, rest) = place.split_first()?;
        match self.values.get(*first)?.as_ref()? {
            Value::Object(inner) => inner.key(rest),
            Value::Text(text) => Some(text.as_bytes().to_vec()),
            Value::I32(number) => Some(number.to_string().into_bytes()),
            Value::I64(number) => Some(number.to_string().into_bytes()),
            Value::Boolean(_) | Value::F64(_) | Value::List(_) => None,
        }
    }
}

/// Reads an object.
#[derive(Clone, Copy)]
struct ObjectSeed<'s>(&'s Shape);

impl<'s, 'j> DeserializeSeed<'j> for ObjectSeed<'s> {
    type Value = Object<'s, 'j>;

    fn deserialize<D: Deserializer<'j>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'s, 'j> Visitor<'j> for ObjectSeed<'s> {
    type Value = Object<'s, 'j>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    /// The errors have the texts of those that serde derives for a struct.
    fn visit_map<A: MapAccess<'j>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let fields = &self.0.fields;
        let mut values: Vec<_> = fields.iter().map(|_| None).collect();
        while let Some(index) = access.next_key_seed(NameSeed(self.0))? {
            if let (Some(field), Some(value)) = (fields.get(index), values.get_mut(index)) {
                if value.is_some() {
                    return Err(A::Error::custom(format!("duplicate field `{}`", field.name)));
                }
                *value = Some(access.next_value_seed(ValueSeed(&field.kind))?);
            }
        }
        let is_missing = |(field, value): &(&super::shape::Field, &Option<Value<'_, '_>>)| {
            field.required && value.is_none()
        };
        match fields.iter().zip(&values).find(is_missing) {
            Some((field, _)) => Err(A::Error::custom(format!("missing field `{}`", field.name))),
            None => Ok(Object { shape: self.0, values }),
        }
    }
}

/// Reads the name of a field. Returns its index.
struct NameSeed<'s>(&'s Shape);

impl<'j> DeserializeSeed<'j> for NameSeed<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'j>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = usize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("field identifier")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        let Shape { fields, names } = self.0;
        fields
            .iter()
            .position(|field| field.name == name)
            .ok_or_else(|| E::custom(format!("unknown field `{name}`, expected {names}")))
    }
}

/// Reads a value.
#[derive(Clone, Copy)]
struct ValueSeed<'s>(&'s Type);

impl<'s, 'j> DeserializeSeed<'j> for ValueSeed<'s> {
    type Value = Value<'s, 'j>;

    fn deserialize<D: Deserializer<'j>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            Type::Boolean => bool::deserialize(deserializer).map(Value::Boolean),
            Type::I32(_) => i32::deserialize(deserializer).map(Value::I32),
            Type::I64(_) => i64::deserialize(deserializer).map(Value::I64),
            Type::F64(_) => f64::deserialize(deserializer).map(Value::F64),
            Type::Text(_) => deserializer.deserialize_str(TextVisitor).map(Value::Text),
            Type::Object(shape) => ObjectSeed(shape).deserialize(deserializer).map(Value::Object),
            Type::List(list) => deserializer.deserialize_seq(ListVisitor(list)).map(Value::List),
        }
    }
}

/// Reads a string.
struct TextVisitor;

impl<'j> Visitor<'j> for TextVisitor {
    type Value = Cow<'j, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'j str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Reads a list. Fails as soon as it has too many items.
struct ListVisitor<'s>(&'s List);

impl<'s, 'j> Visitor<'j> for ListVisitor<'s> {
    type Value = Vec<Value<'s, 'j>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'j>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(ValueSeed(&self.0.of))? {
            if items.len() == self.0.items_max {
                return Err(A::Error::custom(self.0.reason()));
            }
            items.push(item);
        }
        Ok(items)
    }
}
