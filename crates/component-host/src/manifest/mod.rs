//! Reads `spin.toml` (manifest version 2) and locks it, as `spin up` does. What is wrong is
//! told by name and line.

mod schema;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};
use toml::Spanned;

use crate::Error;
use crate::app::{
    App, Component, ComponentMetadata, Declaration, Dependency, Inherit, Metadata, Source, Trigger,
};
use crate::origin::{Origin, Place, line_at};
use crate::outbound::CHAINING_DOMAIN;
use crate::support::CHAINING;

/// Reads the manifest at `path`. Relative paths in it start from its folder.
pub fn read(path: &Path) -> Result<App, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.into(),
        source,
        hint: "; name the manifest, or the folder's spin.toml",
    })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<App, Error> {
    let mut reader = Reader { path, text, origin: Origin::whole(path) };
    let manifest: schema::Manifest =
        toml::from_str(text).map_err(|e| reader.error(e.span(), e.message().into()))?;
    if *manifest.spin_manifest_version.get_ref() != 2 {
        let span = manifest.spin_manifest_version.span();
        return Err(reader.error(Some(span), "only spin_manifest_version 2 is supported".into()));
    }
    let variables = reader.variables(manifest.variables)?;
    let metadata = reader.metadata(manifest.application, &manifest.trigger)?;
    let components = manifest
        .component
        .into_iter()
        .map(|(id, raw)| reader.component(id, raw))
        .collect::<Result<Vec<_>, Error>>()?;
    let mut triggers = Vec::new();
    for (kind, list) in manifest.trigger {
        for raw in list {
            let trigger = reader.trigger(&kind, raw, &components, &triggers)?;
            triggers.push(trigger);
        }
    }
    Ok(App::new(reader.origin, metadata, variables, triggers, components))
}

/// Only an empty path, or one in a folder that is gone, has no absolute form.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

/// The manifest being read, to tell faults with their line.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    origin: Origin,
}

impl Reader<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        line_at(self.text, span.start)
    }

    fn error(&self, span: Option<Range<usize>>, message: String) -> Error {
        let line = span.map_or(1, |span| self.line(&span));
        Error::Manifest { place: Place::new(self.path, line), message }
    }

    fn mark(&mut self, key: String, span: &Range<usize>) {
        let line = self.line(span);
        self.origin.mark(key, line);
    }

    /// The file at a path that starts from the manifest's folder.
    fn file(&self, path: &Path) -> Source {
        Source::file(&absolute(&self.path.parent().unwrap_or(Path::new("")).join(path)))
    }

    fn json<T: Serialize>(&self, value: T) -> Result<Value, Error> {
        serde_json::to_value(value).map_err(|e| self.error(None, e.to_string()))
    }

    fn table(&self, table: toml::Table) -> Result<Map<String, Value>, Error> {
        table.into_iter().map(|(key, value)| Ok((key, self.json(value)?))).collect()
    }

    fn metadata(
        &self,
        application: schema::Application,
        triggers: &BTreeMap<String, Vec<Spanned<toml::Table>>>,
    ) -> Result<Metadata, Error> {
        let mut other = Map::new();
        for (key, text) in
            [("version", application.version), ("description", application.description)]
        {
            if !text.is_empty() {
                other.insert(key.into(), text.into());
            }
        }
        if !application.authors.is_empty() {
            other.insert("authors".into(), application.authors.into());
        }
        let settings = application
            .trigger
            .into_iter()
            .map(|(kind, table)| Ok((kind, self.table(table)?)))
            .collect::<Result<BTreeMap<_, _>, Error>>()?;
        // The old form, which Spin still writes for an application with one type of triggers.
        if let (Some(kind), 1) = (triggers.keys().next(), triggers.len()) {
            let mut single = settings.get(kind).cloned().unwrap_or_default();
            single.insert("type".into(), kind.as_str().into());
            other.insert("trigger".into(), single.into());
        }
        if let Ok(origin) = url::Url::from_file_path(absolute(self.path)) {
            other.insert("origin".into(), origin.as_str().into());
        }
        Ok(Metadata { name: application.name, triggers: settings, other })
    }

    fn variables(
        &self,
        raw: BTreeMap<String, Spanned<schema::Variable>>,
    ) -> Result<BTreeMap<String, Declaration>, Error> {
        let mut variables = BTreeMap::new();
        for (name, spanned) in raw {
            let span = spanned.span();
            let schema::Variable { default, required, secret, description } = spanned.into_inner();
            if default.is_some() == required {
                let message =
                    format!("variable `{name}`: give either a default or required = true");
                return Err(self.error(Some(span), message));
            }
            variables.insert(name, Declaration { description, default, secret });
        }
        Ok(variables)
    }

    fn component(&mut self, id: String, raw: schema::Component) -> Result<Component, Error> {
        let span = raw.source.span();
        let schema::Source::Path(source) = raw.source.into_inner() else {
            let message = format!("component `{id}`: only a file is supported as its `source`");
            return Err(self.error(Some(span), message));
        };
        self.mark(format!("component.{id}"), &span);
        let inherit_all = raw.dependencies_inherit_configuration;
        let dependencies = raw
            .dependencies
            .into_iter()
            .map(|(name, raw)| {
                let dependency = self.dependency(&name, raw, inherit_all)?;
                Ok((name, dependency))
            })
            .collect::<Result<_, Error>>()?;
        let mut other = Map::new();
        if !raw.description.is_empty() {
            other.insert("description".into(), raw.description.into());
        }
        if let Some(build) = raw.build {
            other.insert("build".into(), self.json(build)?);
        }
        let mut host_requirements = Map::new();
        if raw.allowed_outbound_hosts.iter().any(|host| is_chaining(host)) {
            host_requirements.insert(CHAINING.into(), "required".into());
        }
        let metadata = ComponentMetadata {
            allowed_outbound_hosts: raw.allowed_outbound_hosts,
            key_value_stores: self.marked(&id, "key_value_stores", raw.key_value_stores),
            databases: self.marked(&id, "sqlite_databases", raw.sqlite_databases),
            ai_models: self.marked(&id, "ai_models", raw.ai_models),
            other,
        };
        let files = self
            .marked(&id, "files", raw.files)
            .into_iter()
            .map(|file| self.json(file))
            .collect::<Result<_, _>>()?;
        Ok(Component {
            source: self.file(&source),
            metadata,
            env: raw.environment,
            files,
            config: raw.variables,
            dependencies,
            trigger_dependencies: Map::new(),
            host_requirements,
            provide: raw.tool.doorbuster.provide,
            id,
        })
    }

    /// The list, its line remembered.
    fn marked<T>(&mut self, id: &str, key: &str, list: Option<Spanned<Vec<T>>>) -> Vec<T> {
        list.map(|list| {
            self.mark(format!("component.{id}.{key}"), &list.span());
            list.into_inner()
        })
        .unwrap_or_default()
    }

    fn dependency(
        &self,
        name: &str,
        raw: Spanned<schema::Dependency>,
        inherit_all: bool,
    ) -> Result<Dependency, Error> {
        let span = raw.span();
        let raw = raw.into_inner();
        if inherit_all && raw.inherit_configuration.is_some() {
            let message = format!(
                "dependency `{name}`: give either dependencies_inherit_configuration or \
                 inherit_configuration"
            );
            return Err(self.error(Some(span), message));
        }
        let inherit = match raw.inherit_configuration {
            Some(schema::Inherit::All(true)) => Inherit::All,
            Some(schema::Inherit::Some(rights)) => Inherit::Some(rights),
            None if inherit_all => Inherit::All,
            Some(schema::Inherit::All(false)) | None => Inherit::default(),
        };
        Ok(Dependency { source: self.file(&raw.path), export: raw.export, inherit })
    }

    fn trigger(
        &mut self,
        kind: &str,
        raw: Spanned<toml::Table>,
        components: &[Component],
        others: &[Trigger],
    ) -> Result<Trigger, Error> {
        let span = raw.span();
        let fault = |reader: &Self, message: String| {
            reader.error(Some(span.clone()), format!("trigger.{kind}: {message}"))
        };
        let mut settings = raw.into_inner();
        let component = match settings.get("component") {
            Some(toml::Value::String(id)) => id.clone(),
            Some(_) => return Err(fault(self, "`component` must be the id of a component".into())),
            None => return Err(fault(self, "`component` is missing".into())),
        };
        if !components.iter().any(|known| known.id == component) {
            return Err(fault(self, format!("there is no component `{component}`")));
        }
        let id = match settings.remove("id") {
            Some(toml::Value::String(id)) => id,
            Some(_) => return Err(fault(self, "`id` must be a string".into())),
            None => generated_id(kind, &component, others),
        };
        self.mark(format!("trigger.{id}"), &span);
        Ok(Trigger {
            id,
            trigger_type: kind.into(),
            trigger_config: self.table(settings)?,
            trigger_dependencies: Map::new(),
        })
    }
}

/// The id that Spin gives a trigger without one.
fn generated_id(kind: &str, component: &str, others: &[Trigger]) -> String {
    let taken = |id: &String| others.iter().any(|other| other.id == *id);
    let natural = format!("{component}-{kind}-trigger");
    let numbered = (1..).map(|number| format!("{kind}-trigger{number}"));
    std::iter::once(natural).chain(numbered).find(|id| !taken(id)).unwrap_or_default()
}

/// Whether an entry of `allowed_outbound_hosts` means a component of the same application.
fn is_chaining(host: &str) -> bool {
    let address = host.split_once("://").map_or(host, |(_, address)| address);
    address.split(['/', ':']).next().is_some_and(|name| name.ends_with(CHAINING_DOMAIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support;

    const GOOD: &str = r#"
spin_manifest_version = 2
[application]
name = "shop"
[application.trigger.kafka]
brokers = "{{ brokers }}"
[variables]
brokers = { default = "127.0.0.1:9092" }
[[trigger.http]]
route = "/purchase"
component = "ingest"
[component.ingest]
source = "target/ingest.wasm"
allowed_outbound_hosts = ["http://*.spin.internal"]
[component.ingest.dependencies]
"doorbuster:sales" = { path = "target/intake-http.wasm", inherit_configuration = ["variables"] }
"#;

    fn fault(text: &str) -> String {
        let app = parse(Path::new("app/spin.toml"), text);
        app.and_then(|app| support::check(&app)).unwrap_err().to_string()
    }

    #[test]
    fn reads_an_application() {
        let app = parse(Path::new("app/spin.toml"), GOOD).unwrap();
        assert_eq!(app.metadata.name, "shop");
        let ingest = app.component("ingest").unwrap();
        assert!(ingest.source.path().unwrap().ends_with("app/target/ingest.wasm"));
        let inherit = &ingest.dependencies["doorbuster:sales"].inherit;
        assert!(inherit.has("variables") && !inherit.has("environment"));
        assert_eq!(app.triggers[0].settings()["route"], "/purchase");
        assert_eq!(app.origin.place("trigger.ingest-http-trigger").to_string(), "app/spin.toml:9");
    }

    #[test]
    fn faults_name_file_line_and_thing() {
        let cases = [
            (GOOD.replace("name = \"shop\"", "nam = \"shop\""), ":4: ", "nam"),
            (GOOD.replace("version = 2", "version = 1"), ":2: ", "spin_manifest_version 2"),
            (GOOD.replace("component = \"ingest\"", "component = \"ingst\""), ":9: ", "`ingst`"),
            (
                GOOD.replace("allowed_outbound", "key_value_stores = [\"a\"]\nallowed_outbound"),
                ":14: ",
                "key_value_stores",
            ),
            (GOOD.replace("\"target/ingest.wasm\"", "{ url = \"x\" }"), ":13: ", "only a file"),
            (
                GOOD.replace("{ default = \"127.0.0.1:9092\" }", "{ secret = true }"),
                ":8: ",
                "`brokers`",
            ),
            ("[[[".into(), ":1: ", ""),
        ];
        for (text, line, thing) in cases {
            let fault = fault(&text);
            assert!(fault.starts_with(&format!("app/spin.toml{line}")), "{fault}");
            assert!(fault.contains(thing), "{fault}");
        }
    }
}
