//! A schema of the registry, ready for use.

use std::sync::Arc;

use bytes::Bytes;

use crate::avro::{AvroReader, AvroSchema};
use crate::json_schema::JsonSchema;
use crate::protobuf::{JsonForm, ProtobufSchema};
use crate::references::Bundle;
use crate::registry::Definition;

/// A schema of the registry, ready for use.
pub(crate) enum Schema {
    Json(JsonSchema),
    Avro(AvroSchema),
    Protobuf(ProtobufSchema),
}

/// What a schema is prepared from.
pub(crate) struct Source {
    pub bundle: Bundle,
    /// The schema of the reader, for an Avro schema.
    pub reader: Option<Arc<AvroReader>>,
    /// The form of the JSON, for a Protobuf schema.
    pub json: JsonForm,
}

impl Definition {
    pub fn is_avro(&self) -> bool {
        self.kind() == "AVRO"
    }

    fn kind(&self) -> &str {
        self.schema_type.as_deref().unwrap_or("AVRO")
    }
}

impl Schema {
    /// Prepares a schema. The error says why it cannot be used.
    pub fn new(source: &Source) -> Result<Self, String> {
        let Source { bundle, reader, json } = source;
        match bundle.definition.kind() {
            "JSON" => JsonSchema::new(bundle).map(Self::Json),
            "AVRO" => {
                let schema = AvroSchema::of(bundle)?;
                let Some(reader) = reader else { return Ok(Self::Avro(schema)) };
                reader.resolve(&schema).map(Self::Avro)
            }
            "PROTOBUF" => ProtobufSchema::new(bundle, *json).map(Self::Protobuf),
            other => Err(format!("schemas of the type {other} are not supported")),
        }
    }

    /// Checks the value and returns it as JSON. The error says why it does not fit.
    pub fn decode(&self, payload: &Bytes, bytes_max: usize) -> Result<Bytes, String> {
        match self {
            Self::Json(_) if payload.len() > bytes_max => {
                Err(format!("the JSON exceeds {bytes_max} bytes"))
            }
            Self::Json(schema) => schema.check(payload).map(|()| payload.clone()),
            Self::Avro(schema) => schema.decode(payload, bytes_max),
            Self::Protobuf(schema) => schema.decode(payload, bytes_max),
        }
    }
}

#[cfg(test)]
impl Source {
    /// A schema without references, decoded with the default settings.
    pub fn of(definition: Definition) -> Self {
        let bundle = Bundle { definition, imports: Vec::new() };
        Self { bundle, reader: None, json: JsonForm::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(definition: &str) -> Result<Schema, String> {
        Schema::new(&Source::of(serde_json::from_str(definition).unwrap()))
    }

    #[test]
    fn a_schema_without_a_type_is_avro() {
        let decoded = |definition, payload: &'static [u8]| {
            schema(definition).unwrap().decode(&Bytes::from_static(payload), 100)
        };
        for avro in [r#"{"schema":"\"int\""}"#, r#"{"schema":"\"int\"","references":null}"#] {
            assert_eq!(decoded(avro, b"\x02").unwrap(), "1");
        }
        let json = r#"{"schemaType":"JSON","schema":"true","references":[]}"#;
        assert_eq!(decoded(json, b"[ 1]").unwrap(), "[ 1]");
        let long = [b' '; 101];
        assert!(decoded(json, Box::leak(Box::new(long))).unwrap_err().contains("exceeds 100"));
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let other = schema(r#"{"schemaType":"THRIFT","schema":""}"#).err().unwrap();
        assert!(other.contains("THRIFT"), "{other}");
    }
}
