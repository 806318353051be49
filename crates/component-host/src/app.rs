//! The locked application: the one model that a `spin.toml`, the lock file of `spin up` and an
//! artifact of a registry all become.
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
use crate::compose::{names, without_version};
use crate::origin::Origin;
use crate::variables;

/// What this host understands of the things that an application may insist on.
const UNDERSTOOD: [&str; 2] = ["host_requirements", "component_host_requirements"];

/// The newest version of the lock file that this host reads.
const VERSION_MAX: u32 = 1;

/// A locked application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    spin_lock_version: u32,
    /// Fields that whoever runs the application must not ignore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    must_understand: Vec<String>,
    /// Name, version, settings of the triggers.
    pub metadata: Metadata,
    /// Host features it insists on.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub host_requirements: Map<String, Value>,
    /// The variables it declares.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, Declaration>,
    /// The triggers, by type, in the manifest's order within a type.
    pub triggers: Vec<Trigger>,
    /// The components, by id.
    pub components: Vec<Component>,
    /// Where it came from, to tell faults with their place.
    #[serde(skip)]
    pub origin: Origin,
}

/// What an application says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Settings common to all triggers of a type (`[application.trigger.<type>]`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub triggers: BTreeMap<String, Map<String, Value>>,
    /// Whatever else is there: version, description, authors, origin.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A variable that the application declares.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Value when nobody gives one; without it the variable is required.
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
    /// `http`, `kafka`.
    pub trigger_type: String,
    /// The keys of `[[trigger.<type>]]`, the component's id under `component` among them.
    pub trigger_config: Map<String, Value>,
    /// What the trigger puts around its component.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub trigger_dependencies: Map<String, Value>,
}

/// A component and what it may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// Its id.
    pub id: String,
    /// Its rights, and what readers want to know.
    #[serde(default, skip_serializing_if = "ComponentMetadata::is_empty")]
    pub metadata: ComponentMetadata,
    /// The `.wasm` file.
    pub source: Source,
    /// Its environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Files it may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Value>,
    /// Its Spin variables, as templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// Components that satisfy its imports, by `ns:package[/interface][@version]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependencies: BTreeMap<String, Dependency>,
    /// What its triggers put around it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub trigger_dependencies: Map<String, Value>,
    /// Host features it insists on.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub host_requirements: Map<String, Value>,
    /// Imports that a host with an own provider satisfies in place of a dependency
    /// (`tool.doorbuster.provide`). Ours; Spin ignores it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provide: Vec<String>,
}

/// Rights of a component, and its description.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ComponentMetadata {
    /// Hosts it may reach, as templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_outbound_hosts: Vec<String>,
    /// Key-value stores it may open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_value_stores: Vec<String>,
    /// SQLite databases it may open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<String>,
    /// AI models it may ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ai_models: Vec<String>,
    /// Whatever else is there: description, build.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A component that satisfies imports of another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dependency {
    /// The `.wasm` file.
    pub source: Source,
    /// The export that satisfies the import, if it has another name.
    pub export: Option<String>,
    /// What of the parent's configuration it may use.
    #[serde(default, skip_serializing_if = "Inherit::is_none")]
    pub inherit: Inherit,
}

/// A component's bytes: a file, or the content of an artifact's layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    content_type: String,
    /// The file's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The layer's digest, `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// The layer's content, once it is there.
    #[serde(skip)]
    content: Option<Bytes>,
}

/// Which of its parent's rights a dependency gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inherit {
    /// All of them.
    All,
    /// Those named: `allowed_outbound_hosts`, `environment`, `variables`.
    Some(Vec<String>),
}

impl App {
    /// Reads a lock file. `origin` names it in messages.
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

    /// A new application; what it requires of its host is seen from its components.
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

    /// Leaves only these components, and the triggers that start them.
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

    /// Leaves only the triggers of these types, and their settings.
    pub fn retain_triggers(&mut self, types: &[&str]) {
        self.triggers.retain(|trigger| types.contains(&trigger.trigger_type.as_str()));
        self.metadata.triggers.retain(|kind, _| types.contains(&kind.as_str()));
    }

    /// Leaves these imports to the host, whatever dependencies there are for them. Answers those
    /// that no dependency is for.
    pub fn provide<'a>(&mut self, interfaces: &'a [String]) -> Vec<&'a str> {
        let mut unused: Vec<&str> = interfaces.iter().map(String::as_str).collect();
        for component in &mut self.components {
            for interface in interfaces {
                let wanted = without_version(interface);
                // Either may name the whole package.
                let is_for = |name: &str| names(wanted, name) || names(name, wanted);
                if component.dependencies.keys().any(|name| is_for(without_version(name))) {
                    component.provide.push(interface.clone());
                    unused.retain(|other| other != interface);
                }
            }
        }
        unused
    }

    /// The `.wasm` of every component and dependency.
    pub fn sources_mut(&mut self) -> impl Iterator<Item = &mut Source> {
        self.components.iter_mut().flat_map(|component| {
            let dependencies = component.dependencies.values_mut().map(|d| &mut d.source);
            std::iter::once(&mut component.source).chain(dependencies)
        })
    }

    /// Whether what is started uses this variable.
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

    /// The components that some trigger starts.
    pub fn started(&self) -> impl Iterator<Item = &Component> {
        let started: HashSet<&str> = self.triggers.iter().filter_map(Trigger::component).collect();
        self.components.iter().filter(move |component| started.contains(component.id.as_str()))
    }
}

impl Trigger {
    /// The id of the component it starts.
    pub fn component(&self) -> Option<&str> {
        self.trigger_config.get("component").and_then(Value::as_str)
    }

    /// Its own settings: everything but the component.
    pub fn settings(&self) -> Map<String, Value> {
        let mut settings = self.trigger_config.clone();
        settings.remove("component");
        settings
    }
}

impl ComponentMetadata {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Source {
    /// The file at this path, which must be absolute.
    pub fn file(path: &Path) -> Self {
        Self {
            content_type: "application/wasm".into(),
            source: Url::from_file_path(path).ok().map(Into::into),
            digest: None,
            content: None,
        }
    }

    /// The digest of the layer that it is.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Makes it a layer of an artifact, with this digest; without `content` it must be given one
    /// before it is read.
    pub fn set_layer(&mut self, digest: String, content: Option<Bytes>) {
        *self = Self { source: None, digest: Some(digest), content, ..self.clone() };
    }

    /// Its bytes.
    pub fn read(&self) -> Result<Cow<'_, [u8]>, String> {
        match &self.content {
            Some(content) => Ok(Cow::Borrowed(content)),
            None => {
                let read = std::fs::read(self.path()?).map(Cow::Owned);
                read.map_err(|error| format!("cannot read it: {error}; build it first"))
            }
        }
    }

    /// The file's path; the text says why it has none.
    pub fn path(&self) -> Result<PathBuf, String> {
        let source = self.source.as_deref().ok_or("its source is no file")?;
        let path = Url::parse(source).ok().and_then(|url| url.to_file_path().ok());
        path.ok_or_else(|| format!("its source `{source}` is no file"))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path(), &self.digest) {
            (Ok(path), _) => write!(f, "{}", path.display()),
            (Err(_), Some(digest)) => f.write_str(digest),
            (Err(_), None) => f.write_str("no source"),
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

    /// A right that is not among those `known`.
    pub(crate) fn unknown(&self, known: &[&str]) -> Option<&str> {
        match self {
            Inherit::All => None,
            Inherit::Some(rights) => {
                rights.iter().map(String::as_str).find(|right| !known.contains(right))
            }
        }
    }

    /// Whether this right is inherited.
    pub fn has(&self, right: &str) -> bool {
        match self {
            Inherit::All => true,
            Inherit::Some(rights) => rights.iter().any(|r| r == right),
        }
    }
}
