//! Folds a batch of sales into one atomic Valkey update.
//!
//! An [`Update`] holds a batch's sales and is driven to its end by whoever can talk to Valkey:
//! send [`Update::command`], hand the reply to [`Update::reply`], do what its [`Step`] says.
//! The script (`apply.lua`) compares the stored position with the batch and applies the
//! result and the new position together, so that a batch that comes again changes nothing.
//! In the same step it remembers the sales that have an idempotency key, so that a sale that
//! was written twice counts once.

mod delta;
mod error;
mod keys;
mod monitored;
mod record;
mod script;
mod source;
mod update;

pub use delta::{CategoryDelta, Delta, STREAM_LENGTH};
pub use error::Error;
pub use monitored::Monitored;
pub use record::{Range, Record};
pub use source::Source;
pub use update::{Rejection, Reply, Step, Update};
