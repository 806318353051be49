//! Runs Spin applications of WebAssembly components on wasmtime.
//!
//! [`App`] is a locked application, read from a `spin.toml` or a lock file of `spin up`. [`Host`]
//! compiles its components, composes their dependencies, enforces what the manifest allows and
//! serves the HTTP ones. Programs add interfaces of their own as a [`Capability`], and call other
//! components (a trigger's) through [`Guest`]. The host supports WASI 0.2 and 0.3 and Spin's
//! interfaces; it has no code for Kafka.

pub mod allowed_hosts;
pub mod app;
pub mod capability;
pub mod compile_cache;
pub mod componentize;
pub mod compose;
mod denial;
pub mod engine;
pub mod error;
pub mod guest;
pub mod host;
pub mod http;
pub mod limits;
mod linker;
mod lookup;
pub mod manifest;
mod memory;
pub mod origin;
pub mod outbound;
pub mod output;
pub mod state;
mod support;
pub mod variables;

pub use app::App;
pub use capability::Capability;
pub use compile_cache::CompileCache;
pub use error::Error;
pub use guest::Guest;
pub use host::Host;
pub use limits::Limits;
pub use state::GuestState;
