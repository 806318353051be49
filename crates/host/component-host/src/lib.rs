//! Runs Spin applications of WebAssembly components on wasmtime.
//!
//! [`Host`] compiles the components of an application ([`spin_app::App`]), composes their
//! dependencies, enforces what the manifest allows, and serves the components with HTTP triggers.
//! Programs add their own interfaces as a [`Capability`], and call other components (a trigger's)
//! through [`Guest`]. The host supports WASI 0.2 and 0.3 and Spin's interfaces; it has no code for
//! Kafka.

pub mod caller;
mod capability;
pub mod compile_cache;
pub mod componentize;
pub mod compose;
mod denial;
pub mod engine;
pub mod error;
mod files;
pub mod guest;
pub mod host;
pub mod http;
pub mod limits;
mod linker;
mod lookup;
mod memory;
pub mod outbound;
pub mod output;
#[cfg(test)]
mod spin_manifest;
pub mod state;
mod whole;

pub use caller::{Caller, Replacement};
pub use capability::{Capability, Importer};
pub use compile_cache::CompileCache;
pub use error::Error;
pub use guest::Guest;
pub use host::Host;
pub use limits::Limits;
pub use outbound::ClientTls;
pub use state::GuestState;
