//! Values in JSON, with a JSON Schema.

use bytes::Bytes;
use jsonschema::{Draft, PatternOptions, Retrieve, Uri, Validator, uri};
use serde_json::Value;

use crate::references::{Bundle, Import};

/// The largest compiled expression of a `pattern`.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// A compiled JSON Schema.
pub(crate) struct JsonSchema(Validator);

impl JsonSchema {
    /// Compiles a schema. A schema that names no draft is interpreted as draft 7, as the serializers
    /// of the registry do. It may refer only to the schemas of the bundle. Expressions of `pattern`
    /// that need backtracking are refused, because a value could make them take unlimited time.
    pub fn new(Bundle { definition, imports }: &Bundle) -> Result<Self, String> {
        let schema: Value =
            serde_json::from_str(&definition.schema).map_err(|error| error.to_string())?;
        let mut options = jsonschema::options().with_retriever(Imports::new(imports));
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

/// What precedes the URI of a schema without an identifier.
const ROOT: &str = "json-schema:///";

/// The schemas that a schema refers to. Their names are in the form in which URIs are resolved.
struct Imports(Vec<Import>);

impl Imports {
    fn new(imports: &[Import]) -> Self {
        let resolved = |Import { name, schema }: &Import| {
            // A character that a URI cannot contain is escaped in the schema.
            let escaped = name.replace(' ', "%20");
            let resolved = uri::from_str(&escaped).ok();
            let resolved = resolved.as_ref().map_or(name.as_str(), |uri| uri.as_str());
            let name = resolved.strip_prefix(ROOT).unwrap_or(resolved).to_owned();
            Import { name, schema: schema.clone() }
        };
        Self(imports.iter().map(resolved).collect())
    }
}

impl Retrieve for Imports {
    /// Finds a schema by its URI: the name of the reference, which may be relative to the URI of the
    /// schema that refers to it.
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let uri = uri.as_str();
        let is_named = |import: &&Import| {
            let path = uri.strip_suffix(import.name.as_str());
            path.is_some_and(|base| base.is_empty() || base.ends_with('/'))
        };
        let longest = self.0.iter().filter(is_named).max_by_key(|import| import.name.len());
        let import = longest.ok_or_else(|| format!("no reference has the name {uri}"))?;
        Ok(serde_json::from_str(&import.schema)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Definition;

    fn parse(schema: &str, imports: &[(&str, &str)]) -> Result<JsonSchema, String> {
        let definition =
            Definition { schema: schema.into(), schema_type: None, references: Vec::new() };
        let import = |(name, schema): &(&str, &str)| Import {
            name: (*name).into(),
            schema: (*schema).into(),
        };
        JsonSchema::new(&Bundle { definition, imports: imports.iter().map(import).collect() })
    }

    fn check(schema: &str, value: &str) -> Result<(), String> {
        parse(schema, &[]).unwrap().check(&Bytes::copy_from_slice(value.as_bytes()))
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
            assert!(parse(schema, &[]).is_err(), "{schema}");
        }
    }

    #[test]
    fn a_reference_is_found_by_its_name_relative_to_the_schema_that_contains_it() {
        let imports = [
            (
                "money.json",
                r#"{"type":"object","properties":{"of":{"$ref":"a/unit.json#/$defs/u"}}}"#,
            ),
            ("a/unit.json", r#"{"$defs":{"u":{"enum":["EUR"]}}}"#),
            ("unit.json", "false"),
        ];
        let by_name = r#"{"properties":{"price":{"$ref":"money.json"}}}"#;
        let by_id =
            r#"{"$id":"https://shop/v1/sale","properties":{"price":{"$ref":"money.json"}}}"#;
        for schema in [by_name, by_id] {
            let schema = parse(schema, &imports).unwrap();
            assert_eq!(schema.check(&r#"{"price":{"of":"EUR"}}"#.into()), Ok(()));
            let reason = schema.check(&r#"{"price":{"of":"USD"}}"#.into()).unwrap_err();
            assert!(reason.starts_with("/price/of: "), "{reason}");
        }
        for (name, reference) in [
            ("./unit.json", "./unit.json"),
            ("../unit.json", "../unit.json"),
            ("./unit.json", "unit.json"),
            ("a unit.json", "a%20unit.json"),
            ("a%20unit.json", "a%20unit.json"),
            ("a/%75nit.json", "a/unit.json"),
            ("https://shop/./unit.json", "https://shop/unit.json"),
        ] {
            let schema = format!(r#"{{"$ref":"{reference}"}}"#);
            let schema = parse(&schema, &[(name, "false"), ("other.json", "true")]).unwrap();
            assert!(schema.check(&"1".into()).is_err(), "{name} is found as {reference}");
        }
        let other = parse(r#"{"$ref":"ney.json"}"#, &imports).err().unwrap();
        assert!(other.contains("ney.json"), "{other}");
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
