//! Interfaces that a program adds to the host.

use wasmtime::component::Linker;

use crate::allowed_hosts::AllowedHosts;
use crate::state::GuestState;

/// An interface that the program provides natively to the components that import it.
pub trait Capability: Send + Sync {
    /// The interface, as in an import: `ns:package/interface@version`.
    fn interface(&self) -> &str;

    /// Defines the interface's functions.
    fn add_to_linker(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()>;

    /// Whether a component with these allowed hosts may import it; the text says why not and
    /// what to write in the manifest. Asked of each component that does, before anything runs:
    /// what the interface needs may be made ready here.
    fn permits(&self, allowed: &AllowedHosts) -> Result<(), String>;
}
