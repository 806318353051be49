//! The files that the manifests are compared with: the application's manifest, the sources, the
//! schemas.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use regex::Regex;
use serde_json::{Map, Value};
use spin_app::{App, manifest};

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
        let app = manifest::read(&root.join("spin.toml"))?;
        let defaults = app.variables.iter().map(|(name, declaration)| {
            (name.clone(), declaration.default.clone().unwrap_or_default())
        });
        Ok(Self {
            root: root.into(),
            schemas: Schemas::load()?,
            variables: defaults.collect(),
            components: components(&app)?,
        })
    }

    /// Reads one of the project's files.
    pub fn read(&self, file: &str) -> Result<String> {
        let path = self.root.join(file);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }
}

/// The components of an application, by id.
pub(crate) fn components(app: &App) -> Result<BTreeMap<String, Component>> {
    let placeholder = Regex::new(r"\{\{\s*(\w+)\s*\}\}")?;
    let mut components = BTreeMap::new();
    for locked in &app.components {
        let mut component = Component::default();
        collect(&serde_json::to_value(locked)?, &placeholder, &mut component.variables);
        component.is_producer =
            locked.dependencies.keys().any(|name| name.ends_with("events/producer"));
        components.insert(locked.id.clone(), component);
    }
    let shared = |kind: &str| app.metadata.triggers.get(kind);
    for trigger in &app.triggers {
        let id = trigger.component().unwrap_or_default();
        let Some(component) = components.get_mut(id) else { continue };
        component.is_consumer |= trigger.trigger_type == "kafka";
        collect_all(&trigger.trigger_config, &placeholder, &mut component.variables);
        if let Some(shared) = shared(&trigger.trigger_type) {
            collect_all(shared, &placeholder, &mut component.variables);
        }
    }
    // The host's producer uses the brokers of the application's Kafka triggers.
    let kafka = shared("kafka");
    for component in components.values_mut().filter(|component| component.is_producer) {
        kafka.iter().for_each(|kafka| collect_all(kafka, &placeholder, &mut component.variables));
    }
    Ok(components)
}

fn collect_all(table: &Map<String, Value>, placeholder: &Regex, into: &mut BTreeSet<String>) {
    table.values().for_each(|value| collect(value, placeholder, into));
}

/// Collects the variables that the strings in a value refer to.
fn collect(value: &Value, placeholder: &Regex, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let names = placeholder.captures_iter(text).filter_map(|found| found.get(1));
            into.extend(names.map(|name| name.as_str().to_owned()));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, placeholder, into)),
        Value::Object(table) => collect_all(table, placeholder, into),
        _ => {}
    }
}
