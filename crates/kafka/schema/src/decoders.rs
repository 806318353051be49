//! The decoders of external input, only for the checks in `tests/decoders`.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

use crate::avro::{AvroReader, AvroSchema};
use crate::protobuf::JsonForm;
use crate::references::{Bundle, Import};
use crate::registry::Definition;
use crate::schema::{Schema, Source};

/// The registry's answer, the schemas that it refers to, and the reader's schema.
#[derive(Deserialize)]
struct Input {
    #[serde(flatten)]
    definition: Definition,
    #[serde(default)]
    imports: Vec<Import>,
    reader: Option<String>,
}

/// Decodes a value by a schema, which is given as the registry's answer with two more members:
/// `imports`, the schemas that it refers to, and `reader`, the text of the reader's schema. `None` if
/// the schema cannot be used.
pub fn decode(input: &[u8], value: &Bytes, bytes_max: usize) -> Option<Result<Bytes, String>> {
    let Input { definition, imports, reader } = serde_json::from_slice(input).ok()?;
    let reader = reader.map(|text| AvroSchema::parse(&text, &[]).and_then(AvroReader::new));
    let reader = reader.transpose().ok()?.map(Arc::new);
    let bundle = Bundle { definition, imports };
    let schema = Schema::new(&Source { bundle, reader, json: JsonForm::default() }).ok()?;
    Some(schema.decode(value, bytes_max))
}
