//! Values in JSON, with a JSON Schema.

use bytes::Bytes;
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

/// The largest compiled expression of a `pattern`.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// A compiled JSON Schema.
pub(crate) struct JsonSchema(Validator);

impl JsonSchema {
    /// Compiles a schema. A schema that names no draft is interpreted as draft 7, as the serializers
    /// of the registry do. Expressions of `pattern` that need backtracking are refused, because a
    /// value could make them take unlimited time.
    pub fn parse(text: &str) -> Result<Self, String> {
        let schema: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut options = jsonschema::options().offline();
        if schema.get("$schema").is_none() {
            options = options.with_draft(Draft::Draft7);
        }
        let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX);
        let options = options.with_pattern_options(patterns);
        options.build(&schema).map(Self).map_err(|error| error.to_string())
    }

    /// Checks the value. The error contains the path in the value, and not the value itself.
    pub fn check(&self, payload: &Bytes) -> Result<(), String> {
        let value: Value =
            serde_json::from_slice(payload).map_err(|error| format!("not JSON: {error}"))?;
        self.0.validate(&value).map_err(|error| {
            let path = error.instance_path().to_string();
            let path = if path.is_empty() { "the value" } else { &path };
            format!("{path}: {}", error.masked())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: &str, value: &str) -> Result<(), String> {
        JsonSchema::parse(schema).unwrap().check(&Bytes::copy_from_slice(value.as_bytes()))
    }

    #[test]
    fn a_misfit_is_described_by_its_path_without_its_value() {
        let schema = r#"{"type":"object","properties":{"price":{"type":"number"}},
                         "required":["price"]}"#;
        assert_eq!(check(schema, r#"{"price":1.5,"more":true}"#), Ok(()));
        let reason = check(schema, r#"{"price":"hunter2"}"#).unwrap_err();
        assert!(reason.starts_with("/price: ") && reason.contains("number"), "{reason}");
        assert!(!reason.contains("hunter2"), "{reason}");
        let reason = check(schema, "{}").unwrap_err();
        assert!(reason.starts_with("the value: ") && reason.contains("price"), "{reason}");
        assert!(check(schema, "{").unwrap_err().starts_with("not JSON: "));
        let deep = "[".repeat(100_000);
        assert!(check("true", &deep).unwrap_err().contains("recursion limit"));
    }

    #[test]
    fn a_schema_that_needs_another_document_or_backtracking_or_much_memory_is_refused() {
        for schema in [
            "{",
            r#"{"type":"nothing"}"#,
            r#"{"$ref":"http://127.0.0.1:1/other.json"}"#,
            r#"{"type":"string","pattern":"(a)\\1"}"#,
            r#"{"type":"string","pattern":"^(?:a{1000}){100}$"}"#,
        ] {
            assert!(JsonSchema::parse(schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn the_draft_is_that_of_the_schema_or_draft_7() {
        // `prefixItems` is a keyword since 2020-12; `dependencies` was one until draft 7.
        let prefix = r#""prefixItems":[{"type":"number"}]}"#;
        let named =
            format!(r#"{{"$schema":"https://json-schema.org/draft/2020-12/schema",{prefix}"#);
        assert!(check(&named, r#"["x"]"#).is_err());
        assert!(check(&format!("{{{prefix}"), r#"["x"]"#).is_ok());
        assert!(check(r#"{"dependencies":{"a":["b"]}}"#, r#"{"a":1}"#).is_err());
    }
}
