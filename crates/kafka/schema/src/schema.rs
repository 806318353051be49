//! A schema of the registry, ready for use.

use bytes::Bytes;

use crate::avro::AvroSchema;
use crate::json_schema::JsonSchema;
use crate::registry::Definition;

/// A schema of the registry, ready for use.
pub(crate) enum Schema {
    Json(JsonSchema),
    Avro(AvroSchema),
}

impl Schema {
    /// Prepares a schema. The error says why it cannot be used.
    pub fn new(definition: &Definition) -> Result<Self, String> {
        if definition.references.as_ref().is_some_and(|references| !references.is_empty()) {
            return Err("schemas with references to other schemas are not supported".into());
        }
        let text = &definition.schema;
        match definition.schema_type.as_deref().unwrap_or("AVRO") {
            "JSON" => JsonSchema::parse(text).map(Self::Json),
            "AVRO" => AvroSchema::parse(text).map(Self::Avro),
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(definition: &str) -> Result<Schema, String> {
        Schema::new(&serde_json::from_str(definition).unwrap())
    }

    #[test]
    fn a_schema_without_a_type_is_avro() {
        let decoded = |definition, payload: &'static [u8]| {
            schema(definition).unwrap().decode(&Bytes::from_static(payload), 100)
        };
        let avro = r#"{"schema":"\"int\""}"#;
        assert_eq!(decoded(avro, b"\x02").unwrap(), "1");
        let json = r#"{"schemaType":"JSON","schema":"true","references":[]}"#;
        assert_eq!(decoded(json, b"[ 1]").unwrap(), "[ 1]");
        let long = [b' '; 101];
        assert!(decoded(json, Box::leak(Box::new(long))).unwrap_err().contains("exceeds 100"));
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let protobuf = schema(r#"{"schemaType":"PROTOBUF","schema":""}"#).err().unwrap();
        assert!(protobuf.contains("PROTOBUF"), "{protobuf}");
        let references = r#"{"schema":"\"int\"","references":[{"name":"a"}]}"#;
        assert!(schema(references).err().unwrap().contains("references"));
    }
}
