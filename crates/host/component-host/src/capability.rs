//! Interfaces that a program adds to the host.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::Linker;

use crate::state::GuestState;
use spin_app::allowed_hosts::AllowedHosts;

/// A component that imports an interface.
#[derive(Debug, Clone, Copy)]
pub struct Importer<'a> {
    /// Its id.
    pub component: &'a str,
    /// The addresses that it may connect to.
    pub allowed: &'a AllowedHosts,
    /// The values of its Spin variables.
    pub variables: &'a BTreeMap<String, String>,
    /// The labels of the key-value stores that it may open.
    pub key_value_stores: &'a [String],
}

/// Interfaces that the program provides natively to the components that import one of them, such as
/// several versions of an interface.
pub trait Capability: Send + Sync {
    /// The names of the interfaces, as in an import: `ns:package/interface@version`.
    fn interfaces(&self) -> &[&str];

    /// Defines the functions of the interfaces.
    fn add_to_linker(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()>;

    /// Only checks whether a component may import one of the interfaces.
    /// The error says why it may not, and what to write in the manifest. It is called for each
    /// component that imports one, before any component runs. An interface whose calls return this
    /// error need not check anything here.
    fn check(&self, _importer: &Importer<'_>) -> Result<(), String> {
        Ok(())
    }

    /// Prepares what the interfaces need. It is called for each component that passed the check and
    /// imports one of them, or names it under `tool.doorbuster.provide`; before any component
    /// runs, possibly more than once, and by several threads at once. The error says what failed.
    fn prepare(&self, _importer: &Importer<'_>) -> Result<(), String> {
        Ok(())
    }

    /// What the functions of the interfaces share. They get it with [`GuestState::shared`].
    fn shared(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }
}
