//! Checks objects against the schemas of their kinds. Unknown fields are errors.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::object::{Finding, Object, at, list, text};
use crate::{install, yaml};

/// The prefix with which the schemas of the wheel refer to their common definitions.
const DEFINITIONS_FILE: &str = "/api/_definitions.json#";

/// The definition that custom resources leave to Kubernetes.
const OBJECT_META: &str = "#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The schemas of all known kinds.
pub struct Schemas {
    /// By API version and kind.
    kinds: BTreeMap<(String, String), Value>,
    definitions: Map<String, Value>,
    compiled: Mutex<BTreeMap<String, Validator>>,
}

impl Schemas {
    /// Reads the schemas. Installs them if they are missing.
    pub fn load() -> Result<Self> {
        let folder = install::kubernetes()?;
        let read = |name: &str| read_json(&folder.join(name));
        let definitions = read("_definitions.json")?;
        let mut schemas = Self {
            kinds: BTreeMap::new(),
            definitions: at(&definitions, "$defs").as_object().cloned().unwrap_or_default(),
            compiled: Mutex::default(),
        };
        for entry in fs::read_dir(&folder)? {
            schemas.add_built_in(&entry?.path())?;
        }
        for folder in install::definitions()? {
            for entry in fs::read_dir(&folder)? {
                schemas.add_custom(&entry?.path())?;
            }
        }
        Ok(schemas)
    }

    /// Adds the schema of a built-in kind, which contains its kind and version.
    fn add_built_in(&mut self, file: &Path) -> Result<()> {
        let schema = read_json(file)?;
        let word = |field: &str| text(&schema, &format!("properties.{field}.enum.0")).to_owned();
        let (version, kind) = (word("apiVersion"), word("kind"));
        if !version.is_empty() && !kind.is_empty() {
            self.kinds.insert((version, kind), schema);
        }
        Ok(())
    }

    fn add_custom(&mut self, file: &Path) -> Result<()> {
        if !install::is_yaml(file) {
            return Ok(());
        }
        let text_of = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        for definition in yaml::documents(&text_of).with_context(|| file.display().to_string())? {
            let (group, kind) =
                (text(&definition, "spec.group"), text(&definition, "spec.names.kind"));
            for version in list(&definition, "spec.versions") {
                if *at(version, "served") != json!(true) {
                    continue;
                }
                let mut schema = at(version, "schema.openAPIV3Schema").clone();
                refuse_unknown(&mut schema);
                if let Some(metadata) = schema.pointer_mut("/properties/metadata") {
                    *metadata = json!({ "$ref": OBJECT_META });
                }
                let api = format!("{group}/{}", text(version, "name"));
                self.kinds.insert((api, kind.to_owned()), schema);
            }
        }
        Ok(())
    }

    /// Checks an object against the schema of its kind.
    pub fn check(&self, object: &Object) -> Result<Vec<Finding>> {
        let key = (object.text("apiVersion").to_owned(), object.kind().to_owned());
        let Some(schema) = self.kinds.get(&key) else {
            let message = format!("there is no kind {} in {}", key.1, key.0);
            return Ok(vec![object.finding("apiVersion", message)]);
        };
        let found = self.errors(&format!("{} {}", key.0, key.1), schema, &object.0)?;
        Ok(found.into_iter().map(|(place, message)| object.finding(&place, message)).collect())
    }

    /// Checks a value against a type of the Kubernetes core API, such as `Volume`. Returns paths
    /// and messages.
    pub fn check_core(&self, name: &str, value: &Value) -> Result<Vec<(String, String)>> {
        let schema = json!({ "$ref": format!("#/$defs/io.k8s.api.core.v1.{name}") });
        self.errors(name, &schema, value)
    }

    fn errors(&self, name: &str, schema: &Value, value: &Value) -> Result<Vec<(String, String)>> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if !compiled.contains_key(name) {
            let validator = jsonschema::options()
                .build(&self.whole(schema))
                .map_err(|error| anyhow::anyhow!("the schema of {name} is wrong: {error}"))?;
            compiled.insert(name.to_owned(), validator);
        }
        let validator = compiled.get(name).context("it was just compiled")?;
        let place = |path: &str| path.trim_start_matches('/').replace("~1", "/").replace('/', ".");
        let errors = validator.iter_errors(value);
        Ok(errors.map(|e| (place(e.instance_path().as_str()), e.to_string())).collect())
    }

    /// The schema together with all definitions that it needs, directly or indirectly.
    fn whole(&self, schema: &Value) -> Value {
        let mut needed = BTreeSet::new();
        let mut left = references(schema);
        while let Some(name) = left.pop() {
            if needed.insert(name.clone())
                && let Some(definition) = self.definitions.get(&name)
            {
                left.extend(references(definition));
            }
        }
        let mut schema = schema.clone();
        let found = needed.into_iter().filter_map(|name| {
            let definition = self.definitions.get(&name)?.clone();
            Some((name, definition))
        });
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("$defs".into(), Value::Object(found.collect()));
        }
        schema
    }
}

fn read_json(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let text = text.replace(DEFINITIONS_FILE, "#");
    serde_json::from_str(&text).with_context(|| file.display().to_string())
}

/// The definitions that a schema refers to.
fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match (key.as_str(), value) {
                ("$ref", Value::String(path)) => {
                    path.strip_prefix("#/$defs/").map(str::to_owned).into_iter().collect()
                }
                (_, value) => references(value),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// Makes unknown fields errors; Kubernetes would drop them.
fn refuse_unknown(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    let open = map.contains_key("additionalProperties")
        || map.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
    if map.contains_key("properties") && !open {
        map.insert("additionalProperties".into(), json!(false));
    }
    // `anyOf` and similar keywords are left out, because they repeat only a part of the properties.
    if let Some(properties) = map.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(refuse_unknown);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(below) = map.get_mut(key) {
            refuse_unknown(below);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_refused_unless_it_may_be_anything() {
        let mut schema = json!({
            "properties": {
                "open": { "properties": {}, "x-kubernetes-preserve-unknown-fields": true },
                "map": { "additionalProperties": { "properties": { "a": {} } } },
                "list": { "items": { "properties": { "a": {} } } },
            },
            "anyOf": [{ "properties": { "map": {} } }],
        });
        refuse_unknown(&mut schema);
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema["properties"]["open"]["additionalProperties"], Value::Null);
        let below = |path| schema.pointer(path).cloned();
        let refused = Some(json!(false));
        assert_eq!(
            below("/properties/map/additionalProperties/additionalProperties"),
            refused.clone()
        );
        assert_eq!(below("/properties/list/items/additionalProperties"), refused);
        assert_eq!(below("/anyOf/0/additionalProperties"), None);
    }
}
