//! JSON Schema.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use sale::Violation;
use serde_json::Value;

use crate::field::field;
use crate::shorten::shorten;

/// Maximum size of a compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Maximum length of a value whose violation is located, in bytes. To locate it, the validator
/// collects the errors of all branches of `anyOf` and `oneOf`, and copies the values.
const LOCATED_BYTES_MAX: usize = 16 << 10;

/// A compiled schema.
pub struct Schema(Validator);

impl Schema {
    /// Compiles a schema. It is draft 2020-12, unless `$schema` names another draft.
    ///
    /// Patterns are matched in linear time, so they have no look-around and no back-references.
    /// References to other documents are refused: nothing is fetched.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        jsonschema::options()
            .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES_MAX))
            .should_validate_formats(true)
            .offline()
            .build(schema)
            .map(Self)
            .map_err(|error| shorten(&error.to_string()))
    }

    /// Checks a value, which was parsed from `length` bytes. The violation is the first one, and
    /// names the field, unless the value is longer than [`LOCATED_BYTES_MAX`].
    pub fn check(&self, value: &Value, length: usize) -> Result<(), Violation> {
        if length <= LOCATED_BYTES_MAX {
            return self.0.validate(value).map_err(|error| violation(&error));
        }
        if self.0.is_valid(value) {
            return Ok(());
        }
        Err(Violation::new("body", "does not match the schema"))
    }
}

fn violation(error: &ValidationError<'_>) -> Violation {
    use ValidationErrorKind::{AdditionalProperties, Required, UnevaluatedProperties};
    // These errors are about a field of the object at the path.
    let (name, reason) = match error.kind() {
        Required { property } => (property.as_str(), "is required".into()),
        AdditionalProperties { unexpected } | UnevaluatedProperties { unexpected } => {
            (unexpected.first().map(String::as_str), "is not a known field".into())
        }
        // The value is masked: the client knows it, and a log of answers need not contain it.
        _ => (None, shorten(&error.masked().to_string())),
    };
    let mut pointer = error.instance_path().as_str().to_owned();
    if let Some(name) = name {
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
    }
    Violation::new(field(&pointer), reason)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_violation_names_the_field_and_not_the_value() {
        let schema = Schema::compile(&json!({
            "type": "object",
            "required": ["id"],
            "properties": { "id": { "type": "string", "pattern": "^[a-z]+$" } },
            "additionalProperties": false
        }))
        .unwrap();
        assert_eq!(schema.check(&json!({"id": "abc"}), 1), Ok(()));
        let violation = schema.check(&json!({"id": "SECRET"}), 1).unwrap_err();
        assert_eq!(violation.field, "id");
        assert!(!violation.reason.contains("SECRET"), "{violation}");
        let violation = |value| schema.check(&value, 1).unwrap_err().to_string();
        assert_eq!(violation(json!({})), "id: is required");
        assert_eq!(violation(json!({"id": "a", "b/c": 1})), "b/c: is not a known field");
        assert_eq!(violation(json!(1)), "body: value is not of type \"object\"");
        assert!(violation(json!({"id": "a", "x".repeat(10_000): 1})).len() < 1_000);
    }

    #[test]
    fn the_violation_of_a_long_value_is_not_located() {
        let numbers = |kind: &str| json!({"items": {"type": kind}});
        let any = json!({"anyOf": [numbers("string"), numbers("boolean"), {"maxItems": 1}]});
        let schema = Schema::compile(&any).unwrap();
        let long = json!(vec![1; 500_000]);
        let violation = schema.check(&long, 1_000_000).unwrap_err().to_string();
        assert_eq!(violation, "body: does not match the schema");
        assert_eq!(schema.check(&json!(vec!["a"; 10_000]), 50_000), Ok(()));
    }

    #[test]
    fn formats_are_checked() {
        let schema = Schema::compile(&json!({"type": "string", "format": "date-time"})).unwrap();
        assert_eq!(schema.check(&json!("2026-11-27T08:00:00Z"), 1), Ok(()));
        assert!(schema.check(&json!("yesterday"), 1).is_err());
    }

    #[test]
    fn schemas_that_are_refused() {
        let pattern = |pattern: &str| json!({ "type": "string", "pattern": pattern });
        for wrong in [
            json!("string"),
            json!({"type": "strin"}),
            json!({"$ref": "https://example.com/schema.json"}),
            pattern("(a)\\1"),
            pattern("a(?=b)"),
            pattern("((a{1,1000}){1,1000}){1,1000}"),
        ] {
            assert!(Schema::compile(&wrong).is_err(), "{wrong}");
        }
    }
}
