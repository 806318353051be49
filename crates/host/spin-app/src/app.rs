//! The locked application: the common model for a `spin.toml`, the lock file of `spin up` and an
//! artifact of a registry.
//!
//! Its JSON is Spin's: every path absolute, every trigger with an id, nothing left to look up.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use crate::Error;
use crate::files::MountedFile;
use crate::interface::{is_named_by, without_version};
use crate::origin::Origin;
use crate::variables;

/// The values of `must_understand` that this host supports.
const UNDERSTOOD: [&str; 2] = ["host_requirements", "component_host_requirements"];

/// The role of components that handle the requests of an HTTP trigger before its component. It is
/// also the name of the host feature that they require.
pub const MIDDLEWARE: &str = "middleware";

/// The newest version of the lock file that this host reads.
const VERSION_MAX: u32 = 1;

/// A locked application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    spin_lock_version: u32,
    /// Fields that a host must not ignore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    must_understand: Vec<String>,
    /// Name, version, and settings of the triggers.
    pub metadata: Metadata,
    /// Host features that the application requires.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub host_requirements: Map<String, Value>,
    /// The variables it declares.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, Declaration>,
    /// The triggers, by type, in the manifest's order within a type.
    pub triggers: Vec<Trigger>,
    /// The components, by id.
    pub components: Vec<Component>,
    /// The file that it was read from, for error messages.
    #[serde(skip)]
    pub origin: Origin,
}

/// The name, settings and other metadata of an application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Settings common to all triggers of a type (`[application.trigger.<type>]`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub triggers: BTreeMap<String, Map<String, Value>>,
    /// All other fields: version, description, authors, origin.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A variable that the application declares.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// A description of the variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The value if none is given. A variable without a default is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether the value must never be shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// What starts a component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// Its id, unique in the application.
    pub id: String,
    /// The type, such as `http` or `kafka`.
    pub trigger_type: String,
    /// The keys of `[[trigger.<type>]]`, including the component's id under `component`.
    pub trigger_config: Map<String, Value>,
    /// Components that the trigger composes with its component. A locked application has them at
    /// the component.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub trigger_dependencies: Map<String, Value>,
}

/// A component, its configuration and its permissions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// Its id.
    pub id: String,
    /// Its permissions, and descriptive fields.
    #[serde(default, skip_serializing_if = "ComponentMetadata::is_empty")]
    pub metadata: ComponentMetadata,
    /// The `.wasm` file.
    pub source: Source,
    /// Its environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Files it may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<MountedFile>,
    /// Its Spin variables, as templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// Components that satisfy its imports, by `ns:package[/interface][@version]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependencies: BTreeMap<String, Dependency>,
    /// Components that its trigger composes with it, by their role: [`MIDDLEWARE`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trigger_dependencies: BTreeMap<String, Vec<Dependency>>,
    /// Host features that the component requires.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub host_requirements: Map<String, Value>,
    /// Imports that a host with its own provider satisfies instead of a dependency
    /// (`tool.doorbuster.provide`). An extension of Doorbuster; Spin ignores it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provide: Vec<String>,
    /// Beginnings of the names of keys in Valkey that an audit does not compare, because their
    /// values depend on the order in which partitions are applied, or on where batches end
    /// (`tool.doorbuster.audit_ignore`). An extension of Doorbuster; Spin ignores it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audit_ignore: Vec<String>,
}

/// The permissions of a component, and its description.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ComponentMetadata {
    /// Addresses that it may connect to, as templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_outbound_hosts: Vec<String>,
    /// Key-value stores it may open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_value_stores: Vec<String>,
    /// SQLite databases it may open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<String>,
    /// AI models that it may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ai_models: Vec<String>,
    /// All other fields: description, build.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A component that satisfies imports of another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dependency {
    /// The `.wasm` file.
    pub source: Source,
    /// The export that satisfies the import, if its name differs from the import's.
    pub export: Option<String>,
    /// The parts of the parent's configuration that it inherits.
    #[serde(default, skip_serializing_if = "Inherit::is_none")]
    pub inherit: Inherit,
}

/// A component's bytes: a file, the content of an artifact's layer, or what is at a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    content_type: String,
    /// The URL, `file://…` for a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The digest of the content, `sha256:…`, if it is not a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// The content of a layer or of a download, if it is loaded.
    #[serde(skip)]
    content: Option<Bytes>,
}

/// The permissions of its parent that a dependency inherits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inherit {
    /// All of them.
    All,
    /// Only these: `allowed_outbound_hosts`, `environment`, `variables`.
    Some(Vec<String>),
}

impl App {
    /// Parses a lock file. `origin` is the file's name in error messages.
    pub fn from_json(origin: &Path, text: &[u8]) -> Result<Self, Error> {
        let origin = Origin::whole(origin);
        let fault = |message| Error::Manifest { place: origin.place(""), message };
        let mut app: App = serde_json::from_slice(text)
            .map_err(|e| fault(format!("no locked application: {e}")))?;
        if app.spin_lock_version > VERSION_MAX {
            let version = app.spin_lock_version;
            return Err(fault(format!(
                "spin_lock_version {version}; this host reads {VERSION_MAX}"
            )));
        }
        if let Some(field) = app.must_understand.iter().find(|f| !UNDERSTOOD.contains(&f.as_str()))
        {
            return Err(fault(format!(
                "the application requires `{field}`, which this host does not support"
            )));
        }
        app.origin = origin;
        Ok(app)
    }

    /// Creates an application. Its requirements of the host are derived from its components.
    pub fn new(
        origin: Origin,
        metadata: Metadata,
        variables: BTreeMap<String, Declaration>,
        triggers: Vec<Trigger>,
        components: Vec<Component>,
    ) -> Self {
        let required = components.iter().any(|c| !c.host_requirements.is_empty());
        Self {
            spin_lock_version: required.into(),
            must_understand: required.then(|| UNDERSTOOD[1].to_owned()).into_iter().collect(),
            metadata,
            host_requirements: Map::new(),
            variables,
            triggers,
            components,
            origin,
        }
    }

    /// The component with this id.
    pub fn component(&self, id: &str) -> Option<&Component> {
        self.components.iter().find(|component| component.id == id)
    }

    /// The triggers of a type.
    pub fn triggers(&self, trigger_type: &str) -> impl Iterator<Item = &Trigger> {
        self.triggers.iter().filter(move |trigger| trigger.trigger_type == trigger_type)
    }

    /// Keeps only these components, and the triggers that start them.
    pub fn retain_components(&mut self, ids: &[String]) -> Result<(), Error> {
        if let Some(id) = ids.iter().find(|id| self.component(id).is_none()) {
            let there: Vec<&str> = self.components.iter().map(|c| c.id.as_str()).collect();
            let there = there.join(", ");
            return Err(Error::Manifest {
                place: self.origin.place(""),
                message: format!("there is no component `{id}` to retain, only {there}"),
            });
        }
        self.components.retain(|component| ids.contains(&component.id));
        self.triggers.retain(|trigger| {
            trigger.component().is_some_and(|component| ids.iter().any(|id| id == component))
        });
        Ok(())
    }

    /// Keeps only the triggers of these types, and their settings.
    pub fn retain_triggers(&mut self, types: &[&str]) {
        self.triggers.retain(|trigger| types.contains(&trigger.trigger_type.as_str()));
        self.metadata.triggers.retain(|kind, _| types.contains(&kind.as_str()));
    }

    /// Marks these imports as provided by the host, even if there are dependencies for them.
    /// Returns the interfaces for which there is no dependency.
    pub fn provide<'a>(&mut self, interfaces: &'a [String]) -> Vec<&'a str> {
        let mut unused: Vec<&str> = interfaces.iter().map(String::as_str).collect();
        for component in &mut self.components {
            for interface in interfaces {
                let wanted = without_version(interface);
                // Either name may be that of the whole package.
                let is_for = |name: &str| is_named_by(wanted, name) || is_named_by(name, wanted);
                if component.dependencies.keys().any(|name| is_for(without_version(name))) {
                    component.provide.push(interface.clone());
                    unused.retain(|other| other != interface);
                }
            }
        }
        unused
    }

    /// The `.wasm` sources of all components and dependencies.
    pub fn sources_mut(&mut self) -> impl Iterator<Item = &mut Source> {
        self.components.iter_mut().flat_map(|component| {
            let middleware = component.trigger_dependencies.values_mut().flatten();
            let dependencies = component.dependencies.values_mut().chain(middleware);
            std::iter::once(&mut component.source).chain(dependencies.map(|d| &mut d.source))
        })
    }

    /// Whether a component that is started, or a trigger, uses this variable.
    pub fn uses(&self, variable: &str) -> bool {
        let common = self.metadata.triggers.iter();
        let common = common.filter(|(kind, _)| self.triggers(kind).next().is_some());
        let settings = common.map(|(_, settings)| settings);
        let settings = settings.chain(self.triggers.iter().map(|trigger| &trigger.trigger_config));
        settings.flat_map(Map::values).any(|value| variables::value_uses(value, variable))
            || self.started().any(|component| {
                let hosts = component.metadata.allowed_outbound_hosts.iter();
                let mut templates = hosts.chain(component.config.values());
                templates.any(|template| variables::uses(template, variable))
            })
    }

    /// The components that at least one trigger starts.
    pub fn started(&self) -> impl Iterator<Item = &Component> {
        let started: HashSet<&str> = self.triggers.iter().filter_map(Trigger::component).collect();
        self.components.iter().filter(move |component| started.contains(component.id.as_str()))
    }
}

impl Trigger {
    /// The id of the component that it starts.
    pub fn component(&self) -> Option<&str> {
        self.trigger_config.get("component").and_then(Value::as_str)
    }

    /// Its settings without the component's id.
    pub fn settings(&self) -> Map<String, Value> {
        let mut settings = self.trigger_config.clone();
        settings.remove("component");
        settings
    }
}

impl Component {
    /// The components that a request passes before this one, in this order.
    pub fn middleware(&self) -> &[Dependency] {
        self.trigger_dependencies.get(MIDDLEWARE).map_or(&[], Vec::as_slice)
    }

    /// The `.wasm` sources of the component, its dependencies and its middleware.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        let dependencies =
            self.dependencies.values().chain(self.trigger_dependencies.values().flatten());
        std::iter::once(&self.source).chain(dependencies.map(|dependency| &dependency.source))
    }
}

impl ComponentMetadata {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Source {
    /// A source for the file at this path, which must be absolute.
    pub fn file(path: &Path) -> Self {
        Self {
            content_type: "application/wasm".into(),
            source: Url::from_file_path(path).ok().map(Into::into),
            digest: None,
            content: None,
        }
    }

    /// A source that must be downloaded from this URL. Its content has this digest, `sha256:…`.
    pub fn remote(url: &Url, digest: String) -> Self {
        Self {
            content_type: "application/wasm".into(),
            source: Some(url.as_str().into()),
            digest: Some(digest),
            content: None,
        }
    }

    /// The URL and the digest, if the content must be downloaded before it is read.
    pub fn download(&self) -> Option<(Url, &str)> {
        let url = Url::parse(self.source.as_deref()?).ok()?;
        let is_needed = self.content.is_none() && url.scheme() != "file";
        is_needed.then_some(())?;
        Some((url, self.digest.as_deref()?))
    }

    /// Sets the content of a source that was downloaded.
    pub fn set_content(&mut self, content: Bytes) {
        self.content = Some(content);
    }

    /// The digest of the content, if the source is not a file.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Turns the source into a layer of an artifact with this digest. Without `content`, the
    /// content must be set before it is read.
    pub fn set_layer(&mut self, digest: String, content: Option<Bytes>) {
        *self = Self { source: None, digest: Some(digest), content, ..self.clone() };
    }

    /// Reads the bytes. The error is a message.
    pub fn read(&self) -> Result<Cow<'_, [u8]>, String> {
        match &self.content {
            Some(content) => Ok(Cow::Borrowed(content)),
            None if self.download().is_some() => {
                Err("it was not downloaded: this program runs components in files only".into())
            }
            None => {
                let read = std::fs::read(self.path()?).map(Cow::Owned);
                read.map_err(|error| format!("cannot read it: {error}; build it first"))
            }
        }
    }

    /// The path of the file. The error says why there is none.
    pub fn path(&self) -> Result<PathBuf, String> {
        let source = self.source.as_deref().ok_or("its source is no file")?;
        let path = Url::parse(source).ok().and_then(|url| url.to_file_path().ok());
        path.ok_or_else(|| format!("its source `{source}` is no file"))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path(), &self.source, &self.digest) {
            (Ok(path), ..) => write!(f, "{}", path.display()),
            (Err(_), Some(url), _) => f.write_str(url),
            (Err(_), None, Some(digest)) => f.write_str(digest),
            (Err(_), None, None) => f.write_str("no source"),
        }
    }
}

impl Default for Inherit {
    fn default() -> Self {
        Inherit::Some(Vec::new())
    }
}

impl Inherit {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The first inherited permission that is not among `known`.
    pub fn unknown(&self, known: &[&str]) -> Option<&str> {
        match self {
            Inherit::All => None,
            Inherit::Some(rights) => {
                rights.iter().map(String::as_str).find(|right| !known.contains(right))
            }
        }
    }

    /// Whether this permission is inherited.
    pub fn has(&self, right: &str) -> bool {
        match self {
            Inherit::All => true,
            Inherit::Some(rights) => rights.iter().any(|r| r == right),
        }
    }
}
