//! What the engine calls: whoever applies the batches.

use std::future::Future;

use crate::Batch;

/// Applies the batches of every partition this process owns.
///
/// Batches of one partition come in order, one at a time; those of different partitions may
/// run at once. A panic counts as [`Failure::Trap`].
pub trait Handler: Send + Sync + 'static {
    /// Applies one batch and answers the records it refuses. The batch is lent, so that the
    /// same one can come again after a failure.
    ///
    /// The future is dropped in mid-way when the partition is lost or the drain deadline has
    /// passed; the batch then comes again, here or in another process.
    fn handle(&self, batch: &Batch)
    -> impl Future<Output = Result<Vec<Rejection>, Failure>> + Send;

    /// Where to read a partition from; asked at every assignment before the first batch.
    ///
    /// A failure asks again after a pause, during which the partition is not read;
    /// [`Failure::Fatal`] stops the engine; [`Failure::Rewind`] and [`Failure::Lost`] count as
    /// fatal here.
    fn position(
        &self,
        topic: &str,
        log_id: &str,
        partition: i32,
    ) -> impl Future<Output = Result<Position, Failure>> + Send;
}

/// Where to read a partition from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The handler keeps no offsets: read from the group's committed offset in Kafka, without
    /// one from the configured start.
    Committed,
    /// The handler keeps offsets and has none for this log: read from the configured start.
    Start,
    /// The handler's stored position: the end of the last batch it applied.
    At(i64),
}

/// A record that the handler refuses. The rest of the batch counts as applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The record's offset; it must be one of the batch's.
    pub offset: i64,
    /// Why, for the operator.
    pub reason: String,
}

/// Why a batch was not applied.
///
/// After the last three cases nobody knows what was applied. The batch is taken apart, in halves,
/// until the record to blame stands alone; the others are applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A passing fault, nothing was applied: the same batch comes again after a growing pause.
    Retry(String),
    /// The handler's stored position, before the batch's start: the engine seeks there.
    Rewind(i64),
    /// The handler has lost all that it stored, its position too: the engine asks for the
    /// position as at an assignment and begins there.
    Lost,
    /// No retry can help: the engine stops with this text.
    Fatal(String),
    /// The handler broke down over the batch.
    Trap(String),
    /// The handler gave no answer in its time.
    Deadline(String),
    /// The handler wanted more memory than it may have.
    Memory(String),
}
