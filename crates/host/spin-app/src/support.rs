//! Rejects applications that need a feature which this host lacks, and names the feature.

use serde_json::{Map, Value};

use crate::Error;
use crate::app::{App, Component, MIDDLEWARE, Trigger};

/// The feature to call HTTP components of the same application.
pub(crate) const CHAINING: &str = "local_service_chaining";

impl App {
    /// Rejects features that a started component requires and this host lacks.
    pub fn check_support(&self) -> Result<(), Error> {
        features(self, "the application", "", &self.host_requirements)?;
        // Ignoring them could mean that requests reach a component without their checks.
        if let Some(trigger) = self.triggers.iter().find(|t| !t.trigger_dependencies.is_empty()) {
            let id = &trigger.id;
            let message = format!("trigger `{id}`: its dependencies are not at its component");
            let place = self.origin.place(&format!("trigger.{id}"));
            return Err(Error::Manifest { place, message });
        }
        self.started().try_for_each(|component| check_component(self, component))
    }

    /// Rejects triggers of types other than these, settings for such triggers, and an application
    /// in which no trigger starts a component.
    pub fn check_triggers(&self, types: &[&str]) -> Result<(), Error> {
        let fault =
            |key: &str, message| Err(Error::Manifest { place: self.origin.place(key), message });
        let is_other = |kind: &str| !types.contains(&kind);
        let known = types.join(", ");
        if let Some(trigger) = self.triggers.iter().find(|t| is_other(&t.trigger_type)) {
            let message = format!(
                "trigger.{}: this host has no such trigger, only {known}",
                trigger.trigger_type
            );
            return fault(&format!("trigger.{}", trigger.id), message);
        }
        if let Some(kind) = self.metadata.triggers.keys().find(|kind| is_other(kind)) {
            let key = format!("application.trigger.{kind}");
            let message = format!("{key}: this host has no such trigger, only {known}");
            return fault(&key, message);
        }
        let starts_nothing =
            |trigger: &Trigger| trigger.component().is_none_or(|id| self.component(id).is_none());
        let is_complete =
            |trigger: &Trigger| trigger.trigger_config.contains_key("static_response");
        if self.triggers.iter().all(|t| starts_nothing(t) && !is_complete(t)) {
            let there =
                self.components.iter().map(|c| c.id.as_str()).collect::<Vec<_>>().join(", ");
            let there =
                if there.is_empty() { "it has none".into() } else { format!("it has {there}") };
            let message = format!(
                "no trigger starts a component of the application; {there}; the types of triggers \
                 are {known}, as in [[trigger.http]]"
            );
            return fault("", message);
        }
        Ok(())
    }
}

fn check_component(app: &App, component: &Component) -> Result<(), Error> {
    let (id, metadata) = (&component.id, &component.metadata);
    let unsupported = [
        ("sqlite_databases", metadata.databases.is_empty()),
        ("ai_models", metadata.ai_models.is_empty()),
    ];
    if let Some((key, _)) = unsupported.iter().find(|(_, unused)| !unused) {
        let place = app.origin.place(&format!("component.{id}.{key}"));
        let message = format!("component `{id}`: `{key}` is not supported by this host");
        return Err(Error::Manifest { place, message });
    }
    if let Some(role) = component.trigger_dependencies.keys().find(|role| *role != MIDDLEWARE) {
        let place = app.origin.place(&format!("component.{id}"));
        let message = format!(
            "component `{id}`: `{role}` is not supported in `dependencies` of a trigger, only \
             `{MIDDLEWARE}`"
        );
        return Err(Error::Manifest { place, message });
    }
    let what = format!("component `{id}`");
    features(app, &what, &format!("component.{id}"), &component.host_requirements)
}

fn features(app: &App, what: &str, key: &str, wanted: &Map<String, Value>) -> Result<(), Error> {
    // HTTP components are called within the process, so there must be HTTP triggers. Middleware
    // belongs to them.
    let has_http = app.triggers("http").next().is_some();
    let missing = |(feature, need): &(&String, &Value)| {
        let available = has_http && [CHAINING, MIDDLEWARE].contains(&feature.as_str());
        need.as_str() != Some("optional") && !available
    };
    match wanted.iter().find(missing) {
        None => Ok(()),
        Some((feature, _)) => Err(Error::Manifest {
            place: app.origin.place(key),
            message: format!("{what} requires `{feature}`, which is not available here"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn chaining_needs_http_components() {
        let app = |requirement: &str, trigger: &str| {
            let json = format!(
                r#"{{"spin_lock_version": 1, "metadata": {{"name": "a"}},
                "triggers": [{{"id": "t", "trigger_type": "{trigger}",
                               "trigger_config": {{"component": "c"}}}}],
                "components": [{{"id": "c", "source": {{"content_type": "application/wasm"}},
                                 "host_requirements": {{{requirement}}}}}]}}"#
            );
            App::from_json(Path::new("spin.lock"), json.as_bytes()).unwrap()
        };
        let required = r#""local_service_chaining": "required""#;
        assert!(app(required, "http").check_support().is_ok());
        let fault = app(required, "kafka").check_support().unwrap_err().to_string();
        assert!(fault.contains("component `c` requires `local_service_chaining`"), "{fault}");
        assert!(app(r#""local_service_chaining": "optional""#, "kafka").check_support().is_ok());
        assert!(app(r#""middleware": "required""#, "http").check_support().is_ok());
        assert!(app(r#""middleware": "required""#, "kafka").check_support().is_err());
        assert!(app(r#""quantum": "required""#, "http").check_support().is_err());
        // The requirements of a component that is never started do not matter.
        let mut idle = app(required, "kafka");
        idle.retain_triggers(&["http"]);
        assert!(idle.check_support().is_ok());
    }
}
