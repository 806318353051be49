//! `spin.toml`, as it is written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub spin_manifest_version: Spanned<u32>,
    pub application: Application,
    #[serde(default)]
    pub variables: BTreeMap<String, Spanned<Variable>>,
    #[serde(default)]
    pub trigger: BTreeMap<String, Vec<Spanned<toml::Table>>>,
    #[serde(default)]
    pub component: BTreeMap<String, Component>,
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
    #[serde(default)]
    pub trigger: BTreeMap<String, toml::Table>,
    #[serde(rename = "tool")]
    _tool: Option<toml::Table>,
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
    pub source: Spanned<Source>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    #[serde(default)]
    pub dependencies: BTreeMap<String, Spanned<Dependency>>,
    #[serde(default)]
    pub dependencies_inherit_configuration: bool,
    pub build: Option<toml::Value>,
    #[serde(default)]
    pub tool: Tool,
    pub files: Option<Spanned<Vec<toml::Value>>>,
    #[serde(rename = "exclude_files")]
    _exclude_files: Option<toml::Value>,
    pub key_value_stores: Option<Spanned<Vec<String>>>,
    pub sqlite_databases: Option<Spanned<Vec<String>>>,
    pub ai_models: Option<Spanned<Vec<String>>>,
    #[serde(rename = "targets")]
    _targets: Option<toml::Value>,
}

/// `[component.<id>.tool]`: of other tools' tables nothing is read.
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
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum Source {
    Path(PathBuf),
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    pub path: PathBuf,
    pub export: Option<String>,
    pub inherit_configuration: Option<Inherit>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum Inherit {
    All(bool),
    Some(Vec<String>),
}
