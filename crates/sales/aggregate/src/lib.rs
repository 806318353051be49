//! Applies a batch of sales to Valkey in one atomic update.
//!
//! An [`Update`] contains the sales of a batch and does no I/O: send [`Update::command`], pass the
//! reply to [`Update::reply`], and continue as the returned [`Step`] says. The script (`apply.lua`)
//! compares the stored position with the batch, and stores the result and the new position
//! together, so a batch that is sent again changes nothing. In the same step it stores the
//! fingerprints of the sales that have an idempotency key, so a sale that was written twice is
//! counted once.

mod delta;
mod error;
mod keys;
mod monitored;
mod packed;
mod record;
mod script;
mod source;
mod update;

pub use delta::{CategoryDelta, Delta, STREAM_LENGTH};
pub use error::Error;
pub use monitored::Monitored;
pub use packed::{IDEMPOTENCY_KEY, PackedHeader, PackedRecord, Part, unpack};
pub use record::{OffsetRange, Record};
pub use source::Source;
pub use update::{Rejection, Reply, Step, Update};
