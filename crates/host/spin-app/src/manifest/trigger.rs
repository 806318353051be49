//! Reads `[[trigger.<type>]]`.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Map;
use toml::{Spanned, Table, Value};

use super::middleware;
use super::reader::Reader;
use crate::Error;
use crate::app::{Component, Dependency, Trigger};

/// Keys of triggers of any type that Spin supports and this host does not.
const UNSUPPORTED: [&str; 2] = ["static_response", "components"];

/// The triggers by type, in the manifest's order within a type. Their middleware becomes part of the
/// components.
pub(super) fn read_all(
    reader: &mut Reader<'_>,
    raw: BTreeMap<String, Vec<Spanned<Table>>>,
    components: &mut Vec<Component>,
) -> Result<Vec<Trigger>, Error> {
    let known = components.iter().map(|c| (c.id.as_str(), c)).collect();
    let mut ids = Ids::of(&raw);
    let (mut triggers, mut all_middleware) = (Vec::new(), Vec::new());
    for (kind, list) in raw {
        ids.next_number = 1;
        for table in list {
            let (trigger, middleware) = read(reader, &kind, table, &known, &mut ids)?;
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
    ids: &mut Ids,
) -> Result<(Trigger, Vec<Dependency>), Error> {
    let span = raw.span();
    let mut settings = raw.into_inner();
    let id = component(&settings, components).and_then(|component| {
        let id = match settings.remove("id") {
            Some(Value::String(id)) if id.is_empty() => return Err("`id` is empty".into()),
            Some(Value::String(id)) => id,
            Some(_) => return Err("`id` must be a string".into()),
            None => return Ok(ids.generate(kind, &component)),
        };
        // The first generated id of each type is among the ids that are already in use.
        if ids.seen.insert(id.clone()) {
            Ok(id)
        } else {
            Err(format!("the id `{id}` is used twice"))
        }
    });
    let fault = |message| reader.error(Some(span.clone()), format!("trigger.{kind}: {message}"));
    let id = id.map_err(fault)?;
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

/// The id of the component that the trigger starts.
fn component(settings: &Table, components: &HashMap<&str, &Component>) -> Result<String, String> {
    if let Some(key) = UNSUPPORTED.iter().find(|key| settings.contains_key(**key)) {
        return Err(format!("`{key}` is not supported by this host"));
    }
    match settings.get("component") {
        Some(Value::String(id)) if components.contains_key(id.as_str()) => Ok(id.clone()),
        Some(Value::String(id)) => Err(format!("there is no component `{id}`")),
        Some(Value::Table(_)) => Err("a component inside of its trigger is not supported by this \
                                      host; move it to [component.<id>] and name that id"
            .into()),
        Some(_) => Err("`component` must be the id of a component".into()),
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

    fn generate(&mut self, kind: &str, component: &str) -> String {
        let mut id = format!("{component}-{kind}-trigger");
        while !self.taken.insert(id.clone()) {
            id = format!("{kind}-trigger{}", self.next_number);
            self.next_number += 1;
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<String> {
        let triggers: BTreeMap<String, Vec<Spanned<Table>>> = toml::from_str(text).unwrap();
        let mut ids = Ids::of(&triggers);
        triggers["http"].iter().map(|_| ids.generate("http", "a")).collect()
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
