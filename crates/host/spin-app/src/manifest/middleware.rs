//! Reads `dependencies.middleware` of a trigger, and moves it to the trigger's component, as Spin does.

use std::collections::HashMap;

use serde::Deserialize as _;
use toml::{Table, Value};

use super::component::{inherit, source_of, unsupported};
use super::reader::Reader;
use super::schema;
use super::source::{Part, part};
use crate::app::{Component, Dependency, MIDDLEWARE, Trigger};

/// The key in which Spin stores the type of the trigger that composes the component.
const COMPOSED_BY: &str = "resolve-trigger-dependencies-using";

/// The middleware of a trigger of this type, in the order in which a request passes it. Removes it
/// from the trigger's settings.
pub(super) fn read(
    reader: &Reader<'_>,
    kind: &str,
    settings: &mut Table,
    components: &HashMap<&str, &Component>,
) -> Result<Vec<Dependency>, String> {
    let Some(raw) = settings.remove("dependencies") else { return Ok(Vec::new()) };
    let fault = |message: &str| format!("`dependencies`: {message}");
    if kind != "http" {
        return Err(fault("only a trigger of the type `http` has any: `middleware`"));
    }
    if let Value::Table(table) = &raw
        && let Some(key) = table.keys().find(|key| *key != MIDDLEWARE)
    {
        return Err(fault(&format!("`{key}` is not supported, only `{MIDDLEWARE}`")));
    }
    let raw = schema::TriggerDependencies::deserialize(raw).map_err(|e| fault(e.message()))?;
    let read = |(index, raw): (usize, schema::Middleware)| {
        dependency(reader, raw, components).map_err(|e| fault(&format!("middleware[{index}]: {e}")))
    };
    raw.middleware.into_iter().enumerate().map(read).collect()
}

fn dependency(
    reader: &Reader<'_>,
    raw: schema::Middleware,
    components: &HashMap<&str, &Component>,
) -> Result<Dependency, String> {
    let in_registry = [
        ("registry", raw.registry.is_some()),
        ("package", raw.package.is_some()),
        ("version", raw.version.is_some()),
    ];
    if let Some((by, _)) = in_registry.iter().find(|(_, given)| *given) {
        return Err(unsupported(by));
    }
    let source = match part(reader, raw.path, raw.component, raw.url, raw.digest)? {
        Part::Source(source) => source,
        Part::Component(id) => source_of(components, &id)?,
    };
    Ok(Dependency { source, export: None, inherit: inherit(raw.inherit_configuration) })
}

/// Moves the middleware of each trigger to its component. A component with several triggers is
/// copied for each of them that has middleware. `middleware` has an entry for each trigger.
pub(super) fn assign(
    triggers: &mut [Trigger],
    components: &mut Vec<Component>,
    middleware: Vec<Vec<Dependency>>,
) {
    let mut uses: HashMap<String, usize> = HashMap::new();
    for id in triggers.iter().filter_map(Trigger::component) {
        *uses.entry(id.into()).or_default() += 1;
    }
    for (trigger, middleware) in triggers.iter_mut().zip(middleware) {
        let Some(id) = trigger.component().filter(|_| !middleware.is_empty()) else { continue };
        let Some(at) = components.iter().position(|component| component.id == id) else { continue };
        let at = match uses.get(id) {
            Some(1) => at,
            _ => copy(trigger, components, at),
        };
        if let Some(component) = components.get_mut(at) {
            component.host_requirements.insert(MIDDLEWARE.into(), "required".into());
            component
                .metadata
                .other
                .insert(COMPOSED_BY.into(), trigger.trigger_type.clone().into());
            component.trigger_dependencies.insert(MIDDLEWARE.into(), middleware);
        }
    }
}

/// Copies the component at `at` for the trigger. Returns the index of the copy.
fn copy(trigger: &mut Trigger, components: &mut Vec<Component>, at: usize) -> usize {
    let Some(component) = components.get(at) else { return at };
    let id = format!("{}-for-{}", component.id, trigger.id);
    let copy = Component { id: id.clone(), ..component.clone() };
    trigger.trigger_config.insert("component".into(), id.into());
    components.push(copy);
    components.len() - 1
}
