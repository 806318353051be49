//! Which requests are repeated, and after which pause.

pub(crate) mod policy;
mod retry_after;

pub use policy::{Failure, Policy, Settings};
