//! Writes an object as JSON.

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::read::{Object, Value};

impl Object<'_, '_> {
    /// The canonical JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // This cannot fail: integers, finite numbers and texts are written to memory.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Serialize for Object<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (field, value) in self.shape.fields.iter().zip(&self.values) {
            if let Some(value) = value {
                map.serialize_entry(&field.name, value)?;
            }
        }
        map.end()
    }
}

impl Serialize for Value<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::I32(value) => serializer.serialize_i32(*value),
            Self::I64(value) => serializer.serialize_i64(*value),
            Self::F64(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Object(object) => object.serialize(serializer),
            Self::List(items) => serializer.collect_seq(items),
        }
    }
}
