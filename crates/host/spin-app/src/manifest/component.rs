//! Reads `[component.<id>]`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use serde::Deserialize as _;
use serde_json::Map;
use toml::{Spanned, Value};

use super::files;
use super::names;
use super::reader::Reader;
use super::schema;
use super::source::{self, IN_REGISTRY, Part};
use crate::CHAINING_DOMAIN;
use crate::Error;
use crate::app::{Component, ComponentMetadata, Dependency, Inherit, Source};
use crate::files::MountedFile;
use crate::support::CHAINING;

/// A component, and those of its dependencies that are components of the application.
pub(super) struct Read {
    pub component: Component,
    by_id: Vec<ById>,
}

/// A dependency that is a component of the application.
struct ById {
    name: String,
    component: String,
    export: Option<String>,
    inherit: Inherit,
    span: Range<usize>,
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    (id_span, id): (Range<usize>, String),
    raw: schema::Component,
) -> Result<Read, Error> {
    names::check_component_id(&id).map_err(|message| reader.error(Some(id_span), message))?;
    check(&raw).map_err(|(span, message)| {
        reader.error(Some(span), format!("component `{id}`: {message}"))
    })?;
    let span = raw.source.span();
    reader.mark(format!("component.{id}"), &span);
    let source = source::read(reader, raw.source.into_inner())
        .map_err(|message| reader.error(Some(span), format!("component `{id}`: {message}")))?;
    let mut other = Map::new();
    if !raw.description.is_empty() {
        other.insert("description".into(), raw.description.into());
    }
    if let Some(build) = raw.build {
        other.insert("build".into(), reader.json(build)?);
    }
    let inherit_all = raw.dependencies_inherit_configuration;
    let files = files(reader, &id, raw.files, &raw.exclude_files)?;
    let config = raw.variables.into_iter().map(|(name, value)| (name.into_inner(), value));
    let (dependencies, by_id) = dependencies(reader, &id, raw.dependencies, inherit_all)?;
    let component = Component {
        source,
        host_requirements: host_requirements(&raw.allowed_outbound_hosts),
        metadata: ComponentMetadata {
            allowed_outbound_hosts: raw.allowed_outbound_hosts,
            key_value_stores: reader.marked(&id, "key_value_stores", raw.key_value_stores),
            databases: reader.marked(&id, "sqlite_databases", raw.sqlite_databases),
            ai_models: reader.marked(&id, "ai_models", raw.ai_models),
            other,
        },
        env: raw.environment,
        files,
        config: config.collect(),
        dependencies,
        trigger_dependencies: BTreeMap::new(),
        provide: raw.tool.doorbuster.provide,
        audit_ignore: raw.tool.doorbuster.audit_ignore,
        id,
    };
    Ok(Read { component, by_id })
}

/// Adds the dependencies that are components of the application.
pub(super) fn link(reader: &Reader<'_>, read: Vec<Read>) -> Result<Vec<Component>, Error> {
    let (mut components, by_id): (Vec<_>, Vec<_>) =
        read.into_iter().map(|read| (read.component, read.by_id)).unzip();
    let known: HashMap<&str, &Component> = components.iter().map(|c| (c.id.as_str(), c)).collect();
    let with_parts = components.iter().zip(&by_id).filter(|(_, parts)| !parts.is_empty());
    let with_parts: HashSet<&str> =
        with_parts.map(|(component, _)| component.id.as_str()).collect();
    let link = |parent: &Component, dependency: ById| -> Result<(String, Dependency), Error> {
        let ById { name, component, export, inherit, span } = dependency;
        let source = match with_parts.contains(component.as_str()) {
            true => Err(has_own(&component, "dependencies")),
            false => source_of(&known, &component),
        };
        let source = source.map_err(|message| {
            let id = &parent.id;
            reader.error(Some(span), format!("component `{id}`: dependency `{name}`: {message}"))
        })?;
        Ok((name, Dependency { source, export, inherit }))
    };
    let linked = components.iter().zip(by_id);
    let linked = linked.map(|(parent, list)| {
        list.into_iter()
            .map(|dependency| link(parent, dependency))
            .collect::<Result<Vec<_>, Error>>()
    });
    let linked = linked.collect::<Result<Vec<_>, Error>>()?;
    for (component, dependencies) in components.iter_mut().zip(linked) {
        component.dependencies.extend(dependencies);
    }
    Ok(components)
}

/// The source of a component that is used as a part of another one. Fails if the component has a
/// configuration of its own: as a part, it has that of the other one.
pub(super) fn source_of(
    components: &HashMap<&str, &Component>,
    id: &str,
) -> Result<Source, String> {
    let component = components.get(id).ok_or_else(|| format!("there is no component `{id}`"))?;
    let own = [
        ("ai_models", component.metadata.ai_models.is_empty()),
        ("allowed_outbound_hosts", component.metadata.allowed_outbound_hosts.is_empty()),
        ("dependencies", component.dependencies.is_empty()),
        ("environment", component.env.is_empty()),
        ("files", component.files.is_empty()),
        ("key_value_stores", component.metadata.key_value_stores.is_empty()),
        ("sqlite_databases", component.metadata.databases.is_empty()),
        ("variables", component.config.is_empty()),
    ];
    match own.iter().find(|(_, unused)| !unused) {
        None => Ok(component.source.clone()),
        Some((key, _)) => Err(has_own(id, key)),
    }
}

fn has_own(id: &str, key: &str) -> String {
    format!(
        "component `{id}` has `{key}`, but as a part of another component it has the \
         configuration of that one; set it there, and name it in `inherit_configuration`"
    )
}

/// Rejects what this host does not support, and names that Spin does not accept.
fn check(raw: &schema::Component) -> Result<(), (Range<usize>, String)> {
    if let Some(hosts) = &raw.allowed_http_hosts {
        let message = "`allowed_http_hosts` is not supported by this host; write \
                       `allowed_outbound_hosts = [\"http://HOST\"]`";
        return Err((hosts.span(), message.into()));
    }
    raw.variables.keys().try_for_each(|name| {
        names::check_variable(name.get_ref()).map_err(|message| (name.span(), message))
    })
}

fn files(
    reader: &mut Reader<'_>,
    id: &str,
    raw: Option<Spanned<Vec<schema::Files>>>,
    exclude: &[String],
) -> Result<Vec<MountedFile>, Error> {
    let span = raw.as_ref().map(Spanned::span);
    let entries = reader.marked(id, "files", raw);
    files::resolve(&reader.folder(), &entries, exclude)
        .map_err(|message| reader.error(span, format!("component `{id}`: files: {message}")))
}

fn host_requirements(allowed_outbound_hosts: &[String]) -> Map<String, serde_json::Value> {
    let mut requirements = Map::new();
    if allowed_outbound_hosts.iter().any(|host| is_chaining(host)) {
        requirements.insert(CHAINING.into(), "required".into());
    }
    requirements
}

type Dependencies = BTreeMap<String, Dependency>;

fn dependencies(
    reader: &Reader<'_>,
    id: &str,
    raw: BTreeMap<String, Spanned<Value>>,
    inherit_all: bool,
) -> Result<(Dependencies, Vec<ById>), Error> {
    let (mut by_source, mut by_id) = (BTreeMap::new(), Vec::new());
    for (name, raw) in raw {
        let span = raw.span();
        let fault = |message: String| {
            let message = format!("component `{id}`: dependency `{name}`: {message}");
            reader.error(Some(span.clone()), message)
        };
        let (raw, inherit) = dependency(raw.into_inner(), inherit_all).map_err(fault)?;
        let export = raw.export;
        match source::part(reader, raw.path, raw.component, raw.url, raw.digest).map_err(fault)? {
            Part::Source(source) => {
                by_source.insert(name, Dependency { source, export, inherit });
            }
            Part::Component(component) => {
                by_id.push(ById { name, component, export, inherit, span });
            }
        }
    }
    Ok((by_source, by_id))
}

fn dependency(raw: Value, inherit_all: bool) -> Result<(schema::Dependency, Inherit), String> {
    let by = match &raw {
        Value::String(_) => Some("version"),
        Value::Table(table) => IN_REGISTRY.into_iter().find(|key| table.contains_key(*key)),
        _ => None,
    };
    if let Some(by) = by {
        return Err(unsupported(by));
    }
    let mut raw =
        schema::Dependency::deserialize(raw).map_err(|error| error.message().to_owned())?;
    let given = raw.inherit_configuration.take();
    if inherit_all && given.is_some() {
        return Err(
            "give either dependencies_inherit_configuration or inherit_configuration".into()
        );
    }
    let inherit = match given {
        None if inherit_all => Inherit::All,
        given => inherit(given),
    };
    Ok((raw, inherit))
}

/// The message for a dependency that is a package of a registry.
pub(super) fn unsupported(by: &str) -> String {
    format!(
        "a dependency by `{by}` is not supported by this host; write {{ path = \"FILE.wasm\" }}, or \
         {{ url = \"…\", digest = \"sha256:…\" }}"
    )
}

/// The permissions of `inherit_configuration`.
pub(super) fn inherit(given: Option<schema::Inherit>) -> Inherit {
    match given {
        Some(schema::Inherit::All(true)) => Inherit::All,
        Some(schema::Inherit::Some(rights)) => Inherit::Some(rights),
        Some(schema::Inherit::All(false)) | None => Inherit::default(),
    }
}

/// Whether an entry of `allowed_outbound_hosts` refers to a component of the same application.
fn is_chaining(host: &str) -> bool {
    let address = host.split_once("://").map_or(host, |(_, address)| address);
    address.split(['/', ':']).next().is_some_and(|name| name.ends_with(CHAINING_DOMAIN))
}
