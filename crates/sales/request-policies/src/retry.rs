//! Which requests are repeated, and after which pause.

pub(crate) mod policy;

pub use policy::{Failure, Policy, Settings};
