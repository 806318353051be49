//! Interfaces that a program adds to the host.

use wasmtime::component::Linker;

use crate::state::GuestState;
use spin_app::allowed_hosts::AllowedHosts;

/// An interface that the program provides natively to the components that import it.
pub trait Capability: Send + Sync {
    /// The name of the interface, as in an import: `ns:package/interface@version`.
    fn interface(&self) -> &str;

    /// Defines the interface's functions.
    fn add_to_linker(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()>;

    /// Only checks whether a component with these allowed hosts may import the interface. The error
    /// says why it may not, and what to write in the manifest. It is called for each component that
    /// imports the interface, before any component runs. An interface whose calls return this error
    /// need not check anything here.
    fn check(&self, _allowed: &AllowedHosts) -> Result<(), String> {
        Ok(())
    }

    /// Prepares what the interface needs. It is called for each component that passed the check and
    /// imports the interface, or names it under `tool.doorbuster.provide`; before any component
    /// runs, possibly more than once, and by several threads at once. The error says what failed.
    fn prepare(&self) -> Result<(), String> {
        Ok(())
    }
}
