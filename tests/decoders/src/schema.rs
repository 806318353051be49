//! Values with a schema.
//!
//! Input: a line with the registry's answer for a schema, which may contain the schemas that it
//! refers to and the reader's schema, and the value without the schema's id.

use bytes::Bytes;
use kafka_schema::decoders::decode;

use crate::lines;

/// The largest JSON.
const JSON_BYTES_MAX: usize = 64 * 1024;

/// Checks an input.
pub fn check(mut bytes: &[u8]) {
    let definition = lines::line(&mut bytes);
    let value = Bytes::copy_from_slice(bytes);
    let Some(Ok(json)) = decode(definition, &value, JSON_BYTES_MAX) else { return };
    assert!(json.len() <= JSON_BYTES_MAX, "{} bytes", json.len());
    assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&json).is_ok(), "{json:?}");
}
