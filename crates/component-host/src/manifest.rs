//! Reads `spin.toml` (manifest version 2) and refuses, by name and line, what this host
//! does not support.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::Error;
use crate::app::{App, Component, Declaration, Dependency, Inherit, Trigger};

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
    let reader = Reader { path, text };
    let manifest: Manifest =
        toml::from_str(text).map_err(|e| reader.error(e.span(), e.message().into()))?;
    if *manifest.spin_manifest_version.get_ref() != 2 {
        let span = manifest.spin_manifest_version.span();
        return Err(reader.error(Some(span), "only spin_manifest_version 2 is supported".into()));
    }
    let components = manifest
        .component
        .into_iter()
        .map(|(id, raw)| Ok((id.clone(), reader.component(id, raw)?)))
        .collect::<Result<BTreeMap<_, _>, Error>>()?;
    let mut triggers = Vec::new();
    for (kind, list) in manifest.trigger {
        for raw in list {
            triggers.push(reader.trigger(&kind, raw, &components)?);
        }
    }
    Ok(App {
        name: manifest.application.name,
        origin: path.into(),
        variables: reader.variables(manifest.variables)?,
        trigger_settings: manifest.application.trigger,
        triggers,
        components,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    spin_manifest_version: Spanned<u32>,
    application: RawApplication,
    #[serde(default)]
    variables: BTreeMap<String, Spanned<RawVariable>>,
    #[serde(default)]
    trigger: BTreeMap<String, Vec<Spanned<toml::Table>>>,
    #[serde(default)]
    component: BTreeMap<String, RawComponent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "accepted for Spin; of no use to this host")]
struct RawApplication {
    name: String,
    version: Option<String>,
    description: Option<String>,
    authors: Option<Vec<String>>,
    #[serde(default)]
    trigger: BTreeMap<String, toml::Table>,
    tool: Option<toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the description is for readers")]
struct RawVariable {
    default: Option<String>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    secret: bool,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "accepted for Spin; of no use to this host")]
struct RawComponent {
    source: Spanned<RawSource>,
    description: Option<String>,
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    #[serde(default)]
    dependencies: BTreeMap<String, Spanned<RawDependency>>,
    #[serde(default)]
    dependencies_inherit_configuration: bool,
    build: Option<toml::Table>,
    tool: Option<toml::Table>,
    targets: Option<Vec<toml::Value>>,
    files: Option<Spanned<toml::Value>>,
    exclude_files: Option<Spanned<toml::Value>>,
    key_value_stores: Option<Spanned<toml::Value>>,
    sqlite_databases: Option<Spanned<toml::Value>>,
    ai_models: Option<Spanned<toml::Value>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawSource {
    Path(PathBuf),
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDependency {
    path: PathBuf,
    inherit_configuration: Option<RawInherit>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawInherit {
    All(bool),
    Some(Vec<String>),
}

/// The manifest being read, to tell faults with their line.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        before.matches('\n').count() + 1
    }

    fn error(&self, span: Option<Range<usize>>, message: String) -> Error {
        let line = span.map_or(1, |span| self.line(&span));
        Error::Manifest { path: self.path.into(), line, message }
    }

    fn relative(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    fn variables(
        &self,
        raw: BTreeMap<String, Spanned<RawVariable>>,
    ) -> Result<BTreeMap<String, Declaration>, Error> {
        let mut variables = BTreeMap::new();
        for (name, spanned) in raw {
            let span = spanned.span();
            let RawVariable { default, required, secret, .. } = spanned.into_inner();
            if default.is_some() == required {
                let message =
                    format!("variable `{name}`: give either a default or required = true");
                return Err(self.error(Some(span), message));
            }
            variables.insert(name, Declaration { default, secret });
        }
        Ok(variables)
    }

    fn component(&self, id: String, raw: RawComponent) -> Result<Component, Error> {
        let unsupported = [
            ("files", raw.files),
            ("exclude_files", raw.exclude_files),
            ("key_value_stores", raw.key_value_stores),
            ("sqlite_databases", raw.sqlite_databases),
            ("ai_models", raw.ai_models),
        ];
        for (key, value) in unsupported {
            if let Some(value) = value {
                let message = format!("component `{id}`: `{key}` is not supported by this host");
                return Err(self.error(Some(value.span()), message));
            }
        }
        let span = raw.source.span();
        let RawSource::Path(source) = raw.source.into_inner() else {
            let message = format!("component `{id}`: only a file is supported as its `source`");
            return Err(self.error(Some(span), message));
        };
        let inherit_all = raw.dependencies_inherit_configuration;
        let dependencies = raw
            .dependencies
            .into_iter()
            .map(|(name, dependency)| self.dependency(name, dependency, inherit_all))
            .collect::<Result<_, _>>()?;
        Ok(Component {
            source: self.relative(&source),
            id,
            allowed_outbound_hosts: raw.allowed_outbound_hosts,
            environment: raw.environment,
            variables: raw.variables,
            dependencies,
        })
    }

    fn dependency(
        &self,
        name: String,
        raw: Spanned<RawDependency>,
        inherit_all: bool,
    ) -> Result<Dependency, Error> {
        const RIGHTS: [&str; 3] = ["allowed_outbound_hosts", "environment", "variables"];
        let span = raw.span();
        let raw = raw.into_inner();
        let inherit = match raw.inherit_configuration {
            Some(RawInherit::All(true)) => Inherit::All,
            None if inherit_all => Inherit::All,
            Some(RawInherit::All(false)) | None => Inherit::Some(Vec::new()),
            Some(RawInherit::Some(rights)) => Inherit::Some(rights),
        };
        if let Inherit::Some(rights) = &inherit
            && let Some(right) = rights.iter().find(|right| !RIGHTS.contains(&right.as_str()))
        {
            let message = format!(
                "dependency `{name}`: inherit_configuration: `{right}` is not supported by this \
                 host; it knows {}",
                RIGHTS.join(", ")
            );
            return Err(self.error(Some(span), message));
        }
        Ok(Dependency { name, source: self.relative(&raw.path), inherit })
    }

    fn trigger(
        &self,
        kind: &str,
        raw: Spanned<toml::Table>,
        components: &BTreeMap<String, Component>,
    ) -> Result<Trigger, Error> {
        let span = raw.span();
        let mut settings = raw.into_inner();
        settings.remove("id");
        let component = match settings.remove("component") {
            Some(toml::Value::String(id)) => id,
            Some(_) => {
                let message = format!("trigger.{kind}: `component` must be the id of a component");
                return Err(self.error(Some(span), message));
            }
            None => {
                let message = format!("trigger.{kind}: `component` is missing");
                return Err(self.error(Some(span), message));
            }
        };
        if !components.contains_key(&component) {
            let message = format!("trigger.{kind}: there is no component `{component}`");
            return Err(self.error(Some(span), message));
        }
        Ok(Trigger { kind: kind.into(), component, settings, line: self.line(&span) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        parse(Path::new("app/spin.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn reads_an_application() {
        let app = parse(Path::new("app/spin.toml"), GOOD).unwrap();
        assert_eq!(app.name, "shop");
        let ingest = &app.components["ingest"];
        assert_eq!(ingest.source, Path::new("app/target/ingest.wasm"));
        assert!(ingest.dependencies[0].inherit.has("variables"));
        assert!(!ingest.dependencies[0].inherit.has("environment"));
        assert_eq!(app.triggers[0].settings["route"].as_str(), Some("/purchase"));
        assert_eq!(app.triggers[0].line, 9);
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
            (GOOD.replace("[\"variables\"]", "[\"files\"]"), ":16: ", "`files`"),
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
