//! Moves the components that are written inside of triggers to the components of the application, as
//! Spin does.

use std::collections::{BTreeMap, HashSet};

use toml::{Spanned, Table, Value};

use super::component::{self, Read};
use super::names::check_component_id;
use super::reader::Reader;
use super::schema;
use crate::Error;

/// Reads the components inside of triggers, adds them to `components`, and replaces them by their
/// ids. The triggers must have ids.
pub(super) fn extract(
    reader: &mut Reader<'_>,
    triggers: &mut BTreeMap<String, Vec<Spanned<Table>>>,
    components: &mut Vec<Read>,
) -> Result<(), Error> {
    let mut taken: HashSet<String> = components.iter().map(|c| c.component.id.clone()).collect();
    for (kind, list) in triggers {
        for trigger in list {
            let span = trigger.span();
            let settings = trigger.get_mut();
            let Some(Value::Table(inline)) = settings.get("component") else { continue };
            let id = id(settings.get("id").and_then(Value::as_str).unwrap_or_default(), &mut taken);
            let mut inner = Reader::new(reader.path, "");
            let read = read(&mut inner, &id, inline).map_err(|error| {
                let message = match error {
                    Error::Manifest { message, .. } => message,
                    other => other.to_string(),
                };
                reader.error(Some(span.clone()), format!("trigger.{kind}: {message}"))
            })?;
            reader.mark(format!("component.{id}"), &span);
            components.push(read);
            settings.insert("component".into(), id.into());
        }
    }
    Ok(())
}

/// The id that Spin gives to the component of the trigger.
fn id(trigger: &str, taken: &mut HashSet<String>) -> String {
    let mut id = format!("{trigger}-component");
    let mut number = 1;
    while check_component_id(&id).is_err() || taken.contains(&id) {
        id = format!("inline-component{number}");
        number += 1;
    }
    taken.insert(id.clone());
    id
}

fn read(reader: &mut Reader<'_>, id: &str, table: &Table) -> Result<Read, Error> {
    // Places of keys can only be read from text.
    let text = toml::to_string(table).map_err(|e| reader.error(None, e.to_string()))?;
    let raw: schema::Component = toml::from_str(&text).map_err(|e| reader.syntax(&e))?;
    component::read(reader, (0..0, id.to_owned()), raw)
}
