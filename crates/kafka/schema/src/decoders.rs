//! The decoders of external input, only for the checks in `tests/decoders`.

use bytes::Bytes;

use crate::schema::Schema;

/// Decodes a value by a schema, which is given as the registry's answer. `None` if the schema cannot
/// be used.
pub fn decode(definition: &[u8], value: &Bytes, bytes_max: usize) -> Option<Result<Bytes, String>> {
    let schema = Schema::new(&serde_json::from_slice(definition).ok()?).ok()?;
    Some(schema.decode(value, bytes_max))
}
