//! Which requests are repeated, and after which pause.

mod policy;
mod retry_after;

pub use policy::{Failure, Policy, Settings};
