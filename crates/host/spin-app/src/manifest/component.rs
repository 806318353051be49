//! Reads `[component.<id>]`.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize as _;
use serde_json::Map;
use toml::{Spanned, Value};

use super::files;
use super::names;
use super::reader::Reader;
use super::schema;
use crate::CHAINING_DOMAIN;
use crate::Error;
use crate::app::{Component, ComponentMetadata, Dependency, Inherit};
use crate::files::MountedFile;
use crate::support::CHAINING;

/// The keys of Spin's other ways to specify a component or a dependency.
const ELSEWHERE: [&str; 5] = ["url", "registry", "package", "version", "component"];

pub(super) fn read(
    reader: &mut Reader<'_>,
    id: Spanned<String>,
    raw: schema::Component,
) -> Result<Component, Error> {
    let id_span = id.span();
    let id = id.into_inner();
    names::check_component_id(&id).map_err(|message| reader.error(Some(id_span), message))?;
    check(&raw).map_err(|(span, message)| {
        reader.error(Some(span), format!("component `{id}`: {message}"))
    })?;
    let span = raw.source.span();
    reader.mark(format!("component.{id}"), &span);
    let source = raw.source.into_inner();
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
    Ok(Component {
        source: reader.file(source.as_str().unwrap_or_default().as_ref()),
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
        dependencies: dependencies(reader, &id, raw.dependencies, inherit_all)?,
        trigger_dependencies: BTreeMap::new(),
        provide: raw.tool.doorbuster.provide,
        audit_ignore: raw.tool.doorbuster.audit_ignore,
        id,
    })
}

/// Rejects what this host does not support, and names that Spin does not accept.
fn check(raw: &schema::Component) -> Result<(), (Range<usize>, String)> {
    let source = &raw.source;
    match source.get_ref() {
        Value::String(_) => {}
        Value::Table(table) if table.keys().any(|key| ELSEWHERE.contains(&key.as_str())) => {
            let message = "only a file is supported by this host as its `source`; a URL and a \
                           package of a registry are not";
            return Err((source.span(), message.into()));
        }
        _ => return Err((source.span(), "`source` must be the path of a file".into())),
    }
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

fn dependencies(
    reader: &Reader<'_>,
    id: &str,
    raw: BTreeMap<String, Spanned<Value>>,
    inherit_all: bool,
) -> Result<BTreeMap<String, Dependency>, Error> {
    let read = |(name, raw): (String, Spanned<Value>)| {
        let span = raw.span();
        match dependency(reader, raw.into_inner(), inherit_all) {
            Ok(dependency) => Ok((name, dependency)),
            Err(message) => {
                let message = format!("component `{id}`: dependency `{name}`: {message}");
                Err(reader.error(Some(span), message))
            }
        }
    };
    raw.into_iter().map(read).collect()
}

fn dependency(reader: &Reader<'_>, raw: Value, inherit_all: bool) -> Result<Dependency, String> {
    let by = match &raw {
        Value::String(_) => Some("version"),
        Value::Table(table) if !table.contains_key("path") => {
            ELSEWHERE.into_iter().find(|key| table.contains_key(*key))
        }
        _ => None,
    };
    if let Some(by) = by {
        return Err(unsupported(by));
    }
    let raw = schema::Dependency::deserialize(raw).map_err(|error| error.message().to_owned())?;
    if inherit_all && raw.inherit_configuration.is_some() {
        return Err(
            "give either dependencies_inherit_configuration or inherit_configuration".into()
        );
    }
    let inherit = match raw.inherit_configuration {
        None if inherit_all => Inherit::All,
        given => inherit(given),
    };
    Ok(Dependency { source: reader.file(&raw.path), export: raw.export, inherit })
}

/// The message for a kind of dependency that needs a network to read.
pub(super) fn unsupported(by: &str) -> String {
    format!(
        "a dependency by `{by}` is not supported by this host; write {{ path = \"FILE.wasm\" }}"
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
