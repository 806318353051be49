//! Checks the SpinApps against `spin.toml`: components, variables, executors.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::variable;
use crate::Project;
use crate::object::{Finding, Object, find, of_kind, text};

/// Paths of the probes: those of an application with only Kafka triggers, and that of one with
/// HTTP.
const KAFKA_PATHS: [&str; 2] = ["/healthz", "/readyz"];
const HTTP_PATH: &str = "/.well-known/spin/health";

/// Variables that must have the same value in all applications.
const SHARED: [&str; 13] = [
    "kafka_brokers",
    "kafka_topic",
    "kafka_security",
    "kafka_sasl_mechanism",
    "kafka_ca",
    "kafka_oauth_issuer",
    "kafka_oauth_scope",
    "kafka_oauth_audience",
    "valkey_address",
    "valkey_ca",
    "idempotency_keys_max",
    "idempotency_window_s",
    "key_prefix",
];

/// The violations of these rules.
pub fn check(project: &Project, objects: &[Object]) -> Vec<Finding> {
    let mut found = Vec::new();
    for app in of_kind(objects, "SpinApp") {
        found.extend(executor(app, objects));
        found.extend(components(project, app));
        found.extend(variables(project, app));
        found.extend(probes(project, app));
    }
    found.extend(agreement(objects));
    found.extend(wire_names(project, objects));
    for executor in of_kind(objects, "SpinAppExecutor") {
        found.extend(runtime_class(executor, objects));
    }
    for shim in of_kind(objects, "Shim") {
        found.extend(handler(shim, objects));
    }
    found
}

fn executor(app: &Object, objects: &[Object]) -> Option<Finding> {
    let name = app.text("spec.executor");
    let namespace = app.text("metadata.namespace");
    // The webhook looks up the executor when the application is created, so the executor must come
    // first.
    let before = objects.iter().take_while(|object| object.id() != app.id());
    let is_it = |object: &Object| {
        object.kind() == "SpinAppExecutor"
            && object.name() == name
            && object.text("metadata.namespace") == namespace
    };
    let missing = || format!("no SpinAppExecutor {name} in the namespace {namespace} comes before");
    (!before.into_iter().any(is_it)).then(|| app.finding("spec.executor", missing()))
}

pub(super) fn retained(app: &Object) -> impl Iterator<Item = &str> {
    app.list("spec.components").iter().filter_map(serde_json::Value::as_str)
}

fn components(project: &Project, app: &Object) -> Vec<Finding> {
    if app.list("spec.components").is_empty() {
        return vec![app.finding("spec.components", "each application keeps one component")];
    }
    let unknown = retained(app).filter(|id| !project.components.contains_key(*id));
    let message = |id| format!("spin.toml has no component {id}");
    unknown.map(|id| app.finding("spec.components", message(id))).collect()
}

/// Checks that every needed variable is set, and no other.
fn variables(project: &Project, app: &Object) -> Vec<Finding> {
    let place = "spec.variables";
    let kept: Vec<_> = retained(app).filter_map(|id| project.components.get(id)).collect();
    let set: BTreeSet<&str> = app.list(place).iter().map(|one| text(one, "name")).collect();
    let needed: BTreeSet<&str> =
        kept.iter().flat_map(|component| component.variables.iter().map(String::as_str)).collect();
    let mut found = Vec::new();
    for name in needed.difference(&set) {
        found.push(app.finding(place, format!("{name} is not set, and a component uses it")));
    }
    for name in set.difference(&needed) {
        let message = match project.variables.contains_key(*name) {
            true => format!("{name} is set, and no component here uses it"),
            false => format!("spin.toml has no variable {name}"),
        };
        found.push(app.finding(place, message));
    }
    found
}

/// Checks that the shared variables and the application's image are the same everywhere.
fn agreement(objects: &[Object]) -> Vec<Finding> {
    let mut first: BTreeMap<&str, String> = BTreeMap::new();
    let mut found = Vec::new();
    for app in of_kind(objects, "SpinApp") {
        let image = ("spec.image", Some(app.text("spec.image").to_owned()));
        let variables = SHARED.map(|name| (name, variable(objects, app, name)));
        for (name, value) in std::iter::once(image).chain(variables) {
            let Some(value) = value else { continue };
            let known = first.entry(name).or_insert_with(|| value.clone());
            if *known != value {
                let place = if name == "spec.image" { name } else { "spec.variables" };
                let message = format!("{name} is `{value}`, and `{known}` in another application");
                found.push(app.finding(place, message));
            }
        }
    }
    found
}

/// Checks the names that existing clients and consumers use.
fn wire_names(project: &Project, objects: &[Object]) -> Vec<Finding> {
    let mut found = Vec::new();
    for app in of_kind(objects, "SpinApp") {
        for name in ["kafka_topic", "kafka_group"] {
            let value = variable(objects, app, name);
            let wanted = project.variables.get(name);
            if value.is_some() && value.as_ref() != wanted {
                let wanted = wanted.map(String::as_str).unwrap_or_default();
                let message = format!("{name} must be {wanted}, as in spin.toml");
                found.push(app.finding("spec.variables", message));
            }
        }
    }
    found
}

fn probes(project: &Project, app: &Object) -> Vec<Finding> {
    let is_consumer = |id: &str| project.components.get(id).is_some_and(|c| c.is_consumer);
    let answers: &[&str] = if retained(app).all(is_consumer) { &KAFKA_PATHS } else { &[HTTP_PATH] };
    let mut found = Vec::new();
    for probe in ["liveness", "readiness"] {
        let place = format!("spec.checks.{probe}.httpGet.path");
        let path = app.text(&place);
        if !answers.contains(&path) {
            let message = format!("`{path}` is not answered; {} is", answers.join(" or "));
            found.push(app.finding(&place, message));
        }
    }
    found
}

fn runtime_class(executor: &Object, objects: &[Object]) -> Option<Finding> {
    let place = "spec.deploymentConfig.runtimeClassName";
    let name = executor.at(place).as_str()?;
    let missing = find(objects, "RuntimeClass", name).is_none();
    missing.then(|| executor.finding(place, format!("there is no RuntimeClass {name}")))
}

fn handler(shim: &Object, objects: &[Object]) -> Option<Finding> {
    let place = "spec.runtimeClass";
    let (name, handler) =
        (shim.text("spec.runtimeClass.name"), shim.text("spec.runtimeClass.handler"));
    match find(objects, "RuntimeClass", name) {
        None => Some(shim.finding(place, format!("there is no RuntimeClass {name}"))),
        Some(class) if class.text("handler") != handler => {
            Some(shim.finding(place, format!("the RuntimeClass {name} has another handler")))
        }
        Some(_) => None,
    }
}
