//! Reads `[[trigger.<type>]]`.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Map;
use toml::{Spanned, Table, Value};

use super::middleware;
use super::reader::Reader;
use crate::Error;
use crate::app::{Component, Dependency, Trigger};

/// The key of a response in place of a component.
const STATIC_RESPONSE: &str = "static_response";

/// Gives an id to each trigger that has none, as Spin does.
pub(super) fn assign_ids(
    reader: &Reader<'_>,
    triggers: &mut BTreeMap<String, Vec<Spanned<Table>>>,
) -> Result<(), Error> {
    let mut ids = Ids::of(triggers);
    for (kind, list) in triggers {
        ids.next_number = 1;
        for trigger in list {
            let span = trigger.span();
            let settings = trigger.get_mut();
            let fault =
                |message: String| reader.error(Some(span), format!("trigger.{kind}: {message}"));
            match settings.get("id") {
                Some(Value::String(id)) if id.is_empty() => {
                    return Err(fault("`id` is empty".into()));
                }
                // The first generated id of each type is among the ids that are already in use.
                Some(Value::String(id)) if ids.seen.insert(id.clone()) => {}
                Some(Value::String(id)) => {
                    return Err(fault(format!("the id `{id}` is used twice")));
                }
                Some(_) => return Err(fault("`id` must be a string".into())),
                None => {
                    let id = ids.generate(kind, settings.get("component").and_then(Value::as_str));
                    settings.insert("id".into(), id.into());
                }
            }
        }
    }
    Ok(())
}

/// The triggers by type, in the manifest's order within a type. They have ids. Their middleware
/// becomes part of the components.
pub(super) fn read_all(
    reader: &mut Reader<'_>,
    raw: BTreeMap<String, Vec<Spanned<Table>>>,
    components: &mut Vec<Component>,
) -> Result<Vec<Trigger>, Error> {
    let known = components.iter().map(|c| (c.id.as_str(), c)).collect();
    let (mut triggers, mut all_middleware) = (Vec::new(), Vec::new());
    for (kind, list) in raw {
        for table in list {
            let (trigger, middleware) = read(reader, &kind, table, &known)?;
            triggers.push(trigger);
            all_middleware.push(middleware);
        }
    }
    middleware::assign(&mut triggers, components, all_middleware);
    Ok(triggers)
}

fn read(
    reader: &mut Reader<'_>,
    kind: &str,
    raw: Spanned<Table>,
    components: &HashMap<&str, &Component>,
) -> Result<(Trigger, Vec<Dependency>), Error> {
    let span = raw.span();
    let mut settings = raw.into_inner();
    let id = settings.remove("id");
    let id = id.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    let fault = |message| reader.error(Some(span.clone()), format!("trigger.{kind}: {message}"));
    check_component(kind, &settings, components).map_err(fault)?;
    let middleware = middleware::read(reader, kind, &mut settings, components).map_err(fault)?;
    reader.mark(format!("trigger.{id}"), &span);
    let trigger = Trigger {
        id,
        trigger_type: kind.into(),
        trigger_config: reader.table(settings)?,
        trigger_dependencies: Map::new(),
    };
    Ok((trigger, middleware))
}

/// Checks that the trigger starts a component, or has a response.
fn check_component(
    kind: &str,
    settings: &Table,
    components: &HashMap<&str, &Component>,
) -> Result<(), String> {
    if settings.contains_key("components") {
        return Err("`components` is not supported by this host".into());
    }
    let has_response = settings.contains_key(STATIC_RESPONSE);
    if has_response && kind != "http" {
        return Err(format!("`{STATIC_RESPONSE}` is only for triggers of the type `http`"));
    }
    match settings.get("component") {
        Some(_) if has_response => {
            Err(format!("either `component` or `{STATIC_RESPONSE}` must be set"))
        }
        None if has_response && settings.contains_key("dependencies") => {
            Err(format!("`dependencies` has no effect on a `{STATIC_RESPONSE}`"))
        }
        None if has_response => Ok(()),
        Some(Value::String(id)) if components.contains_key(id.as_str()) => Ok(()),
        Some(Value::String(id)) => Err(format!("there is no component `{id}`")),
        Some(_) => Err("`component` must be the id of a component, or a component".into()),
        None => Err("`component` is missing".into()),
    }
}

/// The ids of triggers: the given ones, and those that Spin generates for the others.
struct Ids {
    taken: HashSet<String>,
    seen: HashSet<String>,
    /// The number in the next generated id of the type.
    next_number: usize,
}

impl Ids {
    fn of(raw: &BTreeMap<String, Vec<Spanned<Table>>>) -> Self {
        let given = raw.values().flatten();
        let given = given.filter_map(|table| table.get_ref().get("id").and_then(Value::as_str));
        Self { taken: given.map(Into::into).collect(), seen: HashSet::new(), next_number: 1 }
    }

    fn generate(&mut self, kind: &str, component: Option<&str>) -> String {
        if let Some(id) = component.map(|component| format!("{component}-{kind}-trigger"))
            && self.taken.insert(id.clone())
        {
            return id;
        }
        loop {
            let id = format!("{kind}-trigger{}", self.next_number);
            self.next_number += 1;
            if self.taken.insert(id.clone()) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<String> {
        let triggers: BTreeMap<String, Vec<Spanned<Table>>> = toml::from_str(text).unwrap();
        let mut ids = Ids::of(&triggers);
        triggers["http"].iter().map(|_| ids.generate("http", Some("a"))).collect()
    }

    #[test]
    fn generated_ids_are_those_of_spin() {
        let three = "[[http]]\n[[http]]\n[[http]]\n";
        assert_eq!(ids(three), ["a-http-trigger", "http-trigger1", "http-trigger2"]);
        let taken =
            format!("{three}[[kafka]]\nid = \"a-http-trigger\"\n[[kafka]]\nid = \"http-trigger2\"");
        assert_eq!(ids(&taken), ["http-trigger1", "http-trigger3", "http-trigger4"]);
    }
}
