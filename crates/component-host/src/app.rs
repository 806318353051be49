//! The application: what a manifest says, ready to be loaded.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// An application, from a `spin.toml`.
#[derive(Debug, Clone)]
pub struct App {
    /// The application's name.
    pub name: String,
    /// The manifest it came from, for messages.
    pub origin: PathBuf,
    /// The variables it declares.
    pub variables: BTreeMap<String, Declaration>,
    /// Settings common to all triggers of a type (`[application.trigger.<type>]`).
    pub trigger_settings: BTreeMap<String, toml::Table>,
    /// The triggers, in the manifest's order within a type.
    pub triggers: Vec<Trigger>,
    /// The components by id.
    pub components: BTreeMap<String, Component>,
}

/// A variable that the application declares.
#[derive(Debug, Clone, Default)]
pub struct Declaration {
    /// Value when nobody gives one; without it the variable is required.
    pub default: Option<String>,
    /// Whether the value must never be shown.
    pub secret: bool,
}

/// What starts a component.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// `http`, `kafka`.
    pub kind: String,
    /// The component it starts.
    pub component: String,
    /// The other keys of `[[trigger.<kind>]]`.
    pub settings: toml::Table,
    /// Line in the manifest, from 1.
    pub line: usize,
}

/// A component and what it may do.
#[derive(Debug, Clone)]
pub struct Component {
    /// Its id.
    pub id: String,
    /// The `.wasm` file.
    pub source: PathBuf,
    /// Hosts it may reach, as templates.
    pub allowed_outbound_hosts: Vec<String>,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// Its Spin variables, as templates.
    pub variables: BTreeMap<String, String>,
    /// Components that satisfy its imports.
    pub dependencies: Vec<Dependency>,
}

/// A component that satisfies imports of another one.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// The import: `ns:package`, or `ns:package/interface`, with or without `@version`.
    pub name: String,
    /// The `.wasm` file.
    pub source: PathBuf,
    /// What of the parent's configuration it may use.
    pub inherit: Inherit,
}

/// Which of its parent's rights a dependency gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inherit {
    /// All of them.
    All,
    /// Those named: `allowed_outbound_hosts`, `environment`, `variables`.
    Some(Vec<String>),
}

impl Inherit {
    /// Whether this right is inherited.
    pub fn has(&self, right: &str) -> bool {
        match self {
            Inherit::All => true,
            Inherit::Some(rights) => rights.iter().any(|r| r == right),
        }
    }
}
