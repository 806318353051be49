//! Spin applications, without a runtime for their components.
//!
//! [`App`] is a locked application: [`manifest`] locks a `spin.toml` as Spin does, and
//! [`App::from_json`] reads the lock file of `spin up` and the configuration of an artifact.
//! [`variables`] resolves its variables, and [`allowed_hosts`] decides what a component may reach.

pub mod allowed_hosts;
pub mod app;
pub mod binary;
pub mod error;
pub mod files;
pub mod interface;
pub mod manifest;
pub mod origin;
mod support;
pub mod variables;

pub use app::App;
pub use error::Error;

/// The domain under which a component calls HTTP components of its own application:
/// `http://ID.spin.internal`.
pub const CHAINING_DOMAIN: &str = ".spin.internal";
