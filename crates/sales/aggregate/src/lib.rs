//! Applies a batch of sales to Valkey in one atomic update.
//!
//! An [`Update`] contains the sales of a batch and does no I/O: send [`Update::command`], pass the
//! reply to [`Update::reply`], and continue as the returned [`Step`] says. The changes are those of a
//! state of `spin-kafka-state`, which stores them together with the position, so a batch that is
//! sent again changes nothing, and a sale that was written twice is counted once.

mod changes;
mod delta;
mod keys;
mod known;
mod packed;
mod record;
mod update;

pub use delta::{CategoryDelta, Delta, STREAM_LENGTH};
pub use keys::NAMES;
pub use known::Known;
pub use packed::{IDEMPOTENCY_KEY, PackedHeader, PackedRecord, Part, unpack};
pub use record::Record;
pub use spin_kafka_state::{
    COMMITTED, Command, Error, ExistingCounts, Fingerprint, Namespace, OffsetRange, Reply,
    RetentionLimits, Source, Step, Stored,
};
pub use update::{Rejection, Update};
