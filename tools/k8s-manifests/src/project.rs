//! The files that the manifests are compared with: the application's manifest, the sources, the
//! schemas.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use regex::Regex;
use toml::{Table, Value};

use crate::Schemas;

/// The project in a folder.
pub struct Project {
    /// The project's folder.
    pub root: PathBuf,
    /// The schemas of all kinds.
    pub schemas: Schemas,
    /// Variables that `spin.toml` declares, with their defaults.
    pub variables: BTreeMap<String, String>,
    /// The components of `spin.toml`, by id.
    pub components: BTreeMap<String, Component>,
}

/// A component of `spin.toml`.
#[derive(Debug, Default)]
pub struct Component {
    /// Variables that the component, its dependencies or its triggers use.
    pub variables: BTreeSet<String>,
    /// Whether it has a Kafka trigger.
    pub is_consumer: bool,
    /// Whether it uses a producer.
    pub is_producer: bool,
}

impl Project {
    /// Reads the project at `root`. Installs the schemas if they are missing.
    pub fn load(root: &Path) -> Result<Self> {
        let file = root.join("spin.toml");
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let manifest: Table = text.parse().with_context(|| file.display().to_string())?;
        let default = |value: &Value| {
            value.get("default").and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let declared = table(&manifest, "variables");
        Ok(Self {
            root: root.into(),
            schemas: Schemas::load()?,
            variables: declared.map(|(name, value)| (name.clone(), default(value))).collect(),
            components: components(&manifest)?,
        })
    }

    /// Reads one of the project's files.
    pub fn read(&self, file: &str) -> Result<String> {
        let path = self.root.join(file);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }
}

fn table<'a>(parent: &'a Table, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    parent.get(name).and_then(Value::as_table).into_iter().flatten()
}

fn components(manifest: &Table) -> Result<BTreeMap<String, Component>> {
    let placeholder = Regex::new(r"\{\{\s*(\w+)\s*\}\}")?;
    let mut components = BTreeMap::new();
    for (name, value) in table(manifest, "component") {
        let mut component = Component::default();
        collect(value, &placeholder, &mut component.variables);
        component.is_producer = value
            .get("dependencies")
            .and_then(Value::as_table)
            .is_some_and(|names| names.keys().any(|name| name.ends_with("events/producer")));
        components.insert(name.clone(), component);
    }
    for (kind, triggers) in table(manifest, "trigger") {
        for trigger in triggers.as_array().into_iter().flatten() {
            let id = trigger.get("component").and_then(Value::as_str).unwrap_or_default();
            let Some(component) = components.get_mut(id) else { continue };
            component.is_consumer |= kind == "kafka";
            collect(trigger, &placeholder, &mut component.variables);
            if let Some(shared) = shared(manifest, kind) {
                collect(shared, &placeholder, &mut component.variables);
            }
        }
    }
    // The host's producer uses the brokers of the application's Kafka triggers.
    let kafka = shared(manifest, "kafka");
    for component in components.values_mut().filter(|component| component.is_producer) {
        kafka.iter().for_each(|kafka| collect(kafka, &placeholder, &mut component.variables));
    }
    Ok(components)
}

/// The settings that all triggers of a type share.
fn shared<'a>(manifest: &'a Table, kind: &str) -> Option<&'a Value> {
    manifest.get("application")?.get("trigger")?.get(kind)
}

/// Collects the variables that the strings in a value refer to.
fn collect(value: &Value, placeholder: &Regex, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let names = placeholder.captures_iter(text).filter_map(|found| found.get(1));
            into.extend(names.map(|name| name.as_str().to_owned()));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, placeholder, into)),
        Value::Table(table) => table.values().for_each(|value| collect(value, placeholder, into)),
        _ => {}
    }
}
