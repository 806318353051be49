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

    /// Whether a component with these allowed hosts may import the interface. The error says why
    /// not, and what to write in the manifest. It is called for each component that imports the
    /// interface, before any component runs, so an implementation may also prepare here what the
    /// interface needs.
    fn permits(&self, allowed: &AllowedHosts) -> Result<(), String>;
}
