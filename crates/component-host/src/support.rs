//! What an application may want of its host: what this one has not it refuses by name.

use serde_json::{Map, Value};

use crate::Error;
use crate::app::{App, Component};

/// Host features that an application may insist on and this host has.
const FEATURES: [&str; 1] = ["local_service_chaining"];

/// Refuses what a component that is started wants and this host has not.
pub(crate) fn check(app: &App) -> Result<(), Error> {
    features(app, "the application", "", &app.host_requirements)?;
    app.started().try_for_each(|component| check_component(app, component))
}

fn check_component(app: &App, component: &Component) -> Result<(), Error> {
    let (id, metadata) = (&component.id, &component.metadata);
    let unsupported = [
        ("files", component.files.is_empty()),
        ("key_value_stores", metadata.key_value_stores.is_empty()),
        ("sqlite_databases", metadata.databases.is_empty()),
        ("ai_models", metadata.ai_models.is_empty()),
        ("trigger_dependencies", component.trigger_dependencies.is_empty()),
    ];
    if let Some((key, _)) = unsupported.iter().find(|(_, unused)| !unused) {
        let place = app.origin.place(&format!("component.{id}.{key}"));
        let message = format!("component `{id}`: `{key}` is not supported by this host");
        return Err(Error::Manifest { place, message });
    }
    let what = format!("component `{id}`");
    features(app, &what, &format!("component.{id}"), &component.host_requirements)
}

fn features(app: &App, what: &str, key: &str, wanted: &Map<String, Value>) -> Result<(), Error> {
    let missing = |(feature, need): &(&String, &Value)| {
        need.as_str() != Some("optional") && !FEATURES.contains(&feature.as_str())
    };
    match wanted.iter().find(missing) {
        None => Ok(()),
        Some((feature, _)) => Err(Error::Manifest {
            place: app.origin.place(key),
            message: format!("{what} requires `{feature}`, which this host has not"),
        }),
    }
}
