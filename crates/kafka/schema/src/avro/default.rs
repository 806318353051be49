//! Converts the default of a field to the JSON that a value would become.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use super::value::decimal;
use super::{AvroSchema, Field, Node};

/// How deep a default may be nested, with the defaults of the records in it.
const DEPTH_MAX: usize = 64;
/// How many bytes a default may have, about, with the defaults of the records in it. Without this, a
/// default could have a size that is exponential in that of the schema.
const BYTES_MAX: usize = 64 * 1024;

impl AvroSchema {
    /// The default of a field as JSON; `None` if it has none.
    pub(super) fn default(&self, field: &Field) -> Result<Option<Value>, String> {
        let Some(value) = &field.default else { return Ok(None) };
        let json = self.default_json(field.node, value, DEPTH_MAX, &mut { BYTES_MAX });
        json.map(Some).map_err(|reason| format!("the default of `{}` {reason}", field.name))
    }

    /// `depth` is the number of levels that may follow, and `bytes_left` that of bytes.
    fn default_json(
        &self,
        node: usize,
        value: &Value,
        depth: usize,
        bytes_left: &mut usize,
    ) -> Result<Value, String> {
        let depth = depth.checked_sub(1).ok_or("is nested too deep")?;
        spend(bytes_left, 1 + value.as_str().map_or(0, str::len))?;
        let node = self.nodes.get(node).ok_or("has no type")?;
        let json = match (node, value) {
            (Node::Null, Value::Null)
            | (Node::Boolean, Value::Bool(_))
            | (Node::String, Value::String(_)) => Some(value.clone()),
            (Node::Int, Value::Number(number)) => {
                number.as_i64().and_then(|number| i32::try_from(number).ok()).map(Value::from)
            }
            (Node::Long, Value::Number(number)) => number.as_i64().map(Value::from),
            (Node::Float | Node::Double, Value::Number(number)) => {
                number.as_f64().and_then(Number::from_f64).map(Value::Number)
            }
            (Node::Bytes, Value::String(text)) => {
                bytes(text).map(|bytes| STANDARD.encode(bytes).into())
            }
            (Node::Fixed(size), Value::String(text)) => {
                let bytes = bytes(text).filter(|bytes| bytes.len() == *size);
                bytes.map(|bytes| STANDARD.encode(bytes).into())
            }
            (Node::Decimal { scale, .. }, Value::String(text)) => {
                bytes(text).and_then(|bytes| decimal(&bytes, *scale).ok()).map(Value::from)
            }
            (Node::Enum(symbols), Value::String(symbol)) => {
                symbols.contains(symbol).then(|| value.clone())
            }
            (Node::Array(items), Value::Array(values)) => {
                let values =
                    values.iter().map(|value| self.default_json(*items, value, depth, bytes_left));
                Some(values.collect::<Result<_, _>>()?)
            }
            (Node::Map(items), Value::Object(values)) => {
                let values = values.iter().map(|(name, value)| {
                    spend(bytes_left, name.len())?;
                    let json = self.default_json(*items, value, depth, bytes_left)?;
                    Ok::<_, String>((name.clone(), json))
                });
                Some(Value::Object(values.collect::<Result<_, _>>()?))
            }
            (Node::Record(fields), Value::Object(values)) => {
                let mut json = Map::new();
                for field in fields {
                    let value = values.get(&field.name).or(field.default.as_ref());
                    let value = value.ok_or_else(|| format!("lacks the field `{}`", field.name))?;
                    spend(bytes_left, field.name.len())?;
                    let of_field = self.default_json(field.node, value, depth, bytes_left)?;
                    json.insert(field.name.clone(), of_field);
                }
                Some(Value::Object(json))
            }
            // Since Avro 1.12 any type of a union may have the default, and not only the first.
            (Node::Union(variants), _) => {
                let json = variants
                    .iter()
                    .find_map(|variant| self.default_json(*variant, value, depth, bytes_left).ok());
                // A type may have been left out because of the size.
                spend(bytes_left, 1)?;
                json
            }
            _ => None,
        };
        json.ok_or_else(|| "does not fit its type".into())
    }
}

/// Subtracts bytes. Nothing is left if there are too few.
fn spend(left: &mut usize, bytes: usize) -> Result<(), String> {
    let rest = left.checked_sub(bytes);
    *left = rest.unwrap_or_default();
    rest.map(drop).ok_or_else(|| "is too large".into())
}

/// The bytes of a default: each character is one byte.
fn bytes(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|char| u8::try_from(u32::from(char)).ok()).collect()
}
