//! Spin applications as artifacts of an OCI registry, in the format of `spin registry push`.
//!
//! [`Artifact`] is the format, without a network; [`push`] and [`pull`] transfer it to and from a
//! registry. A pulled application is kept in memory; nothing is written to disk.

mod archive;
mod artifact;
mod client;
mod credentials;
mod error;
mod reference;

pub use artifact::{APPLICATION_LAYER, Artifact, COMPONENT_LAYER, LAYERS};
pub use client::{Transport, pull, push};
pub use error::Error;
pub use oci_client::Reference;
pub use reference::parse as parse_reference;
