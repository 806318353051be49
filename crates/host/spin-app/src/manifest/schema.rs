//! The structure of `spin.toml`.
//!
//! Keys of Spin that this host does not support have a field here, so that the error names them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::value::{Table, Value};

/// This is read first: a manifest of another version has other keys.
#[derive(Deserialize)]
pub struct Version {
    pub spin_manifest_version: Option<Spanned<Value>>,
    /// The place of the version in the first versions of Spin.
    pub spin_version: Option<Spanned<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    #[serde(rename = "spin_manifest_version")]
    _spin_manifest_version: u32,
    pub application: Application,
    #[serde(default)]
    pub variables: BTreeMap<String, Spanned<Variable>>,
    #[serde(default)]
    pub trigger: BTreeMap<String, Vec<Spanned<Table>>>,
    #[serde(default)]
    pub component: BTreeMap<Spanned<String>, Component>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    pub name: String,
    #[serde(default)]
    pub version: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub authors: Vec<String>,
    /// The targets that `spin build` checks the components against.
    #[serde(rename = "targets", default)]
    _targets: Vec<Value>,
    #[serde(default)]
    pub trigger: BTreeMap<String, Spanned<Table>>,
    #[serde(rename = "tool", default)]
    _tool: BTreeMap<String, Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    pub default: Option<String>,
    #[serde(default)]
    pub required: bool,
    #[serde(default)]
    pub secret: bool,
    pub description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    pub source: Spanned<Value>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub allowed_outbound_hosts: Vec<String>,
    /// The deprecated form of `allowed_outbound_hosts`.
    pub allowed_http_hosts: Option<Spanned<Value>>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default)]
    pub variables: BTreeMap<Spanned<String>, String>,
    #[serde(default)]
    pub dependencies: BTreeMap<String, Spanned<Value>>,
    #[serde(default)]
    pub dependencies_inherit_configuration: bool,
    pub build: Option<Build>,
    #[serde(default)]
    pub tool: Tool,
    pub files: Option<Spanned<Vec<Files>>>,
    #[serde(default)]
    pub exclude_files: Vec<String>,
    pub key_value_stores: Option<Spanned<Vec<String>>>,
    pub sqlite_databases: Option<Spanned<Vec<String>>>,
    pub ai_models: Option<Spanned<Vec<String>>>,
    /// The targets that `spin build` checks the component against.
    #[serde(rename = "targets", default)]
    _targets: Vec<Value>,
    /// Overrides for `spin up --profile NAME`. This host runs the default profile.
    #[serde(rename = "profile", default)]
    _profile: BTreeMap<String, Profile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    #[serde(rename = "source")]
    _source: Option<Value>,
    #[serde(rename = "environment", default)]
    _environment: BTreeMap<String, String>,
    #[serde(rename = "dependencies", default)]
    _dependencies: BTreeMap<String, Value>,
    #[serde(rename = "build")]
    _build: Option<Build>,
}

/// `[component.<id>.build]`, for `spin build`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    command: Commands,
    #[serde(skip_serializing_if = "Option::is_none")]
    workdir: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    watch: Vec<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(untagged, expecting = "command must be a string or a list of strings")]
enum Commands {
    One(String),
    Several(Vec<String>),
}

/// `[component.<id>.tool]`. The tables of other tools are ignored.
#[derive(Default, Deserialize)]
pub struct Tool {
    #[serde(default)]
    pub doorbuster: DoorbusterTool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoorbusterTool {
    #[serde(default)]
    pub provide: Vec<String>,
    #[serde(default)]
    pub audit_ignore: Vec<String>,
}

/// An entry of `files`.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
#[serde(expecting = "files must be patterns or { source = \"…\", destination = \"/…\" }")]
pub enum Files {
    Pattern(String),
    Placement { source: String, destination: String },
}

/// A component at a URL.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    pub url: String,
    pub digest: Option<String>,
}

/// A dependency that is a file, a component of the application, or at a URL.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    pub path: Option<PathBuf>,
    pub component: Option<String>,
    pub url: Option<String>,
    pub digest: Option<String>,
    pub export: Option<String>,
    pub inherit_configuration: Option<Inherit>,
}

/// `[[trigger.http]].dependencies`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerDependencies {
    #[serde(default)]
    pub middleware: Vec<Middleware>,
}

/// A component that handles requests before the component of the trigger: a component of the
/// application, a file, or at a URL.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Middleware {
    pub component: Option<String>,
    pub path: Option<PathBuf>,
    pub url: Option<String>,
    pub digest: Option<String>,
    pub registry: Option<Value>,
    pub package: Option<Value>,
    pub version: Option<Value>,
    pub inherit_configuration: Option<Inherit>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "inherit_configuration must be true, false or a list of names")]
pub enum Inherit {
    All(bool),
    Some(Vec<String>),
}
