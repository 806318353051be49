//! The interface that the engine calls to apply batches.

use std::fmt::Display;
use std::future::{Future, ready};
use std::sync::Arc;

use crate::{Answer, Batch};

/// Applies the batches of all partitions that this process owns.
///
/// Batches of one partition are passed in order, one at a time; batches of different partitions may
/// be passed concurrently. A panic counts as [`Failure::Trap`]. [`handler_fn`](crate::handler_fn)
/// makes a function a handler.
pub trait Handler: Send + Sync + 'static {
    /// Applies one batch and returns the records that it rejects. The batch is borrowed, so that
    /// the engine can pass the same one again after a failure.
    ///
    /// The future is dropped before it completes when the partition is lost or the drain deadline
    /// has passed. The batch is then delivered again, in this process or another.
    fn handle(&self, batch: &Batch)
    -> impl Future<Output = Result<Vec<Rejection>, Failure>> + Send;

    /// Applies one batch like [`Handler::handle`], and may return records to write. The engine
    /// calls this function. By default it calls `handle` and returns no records.
    /// [`transform_fn`](crate::transform_fn) makes a function a handler that returns records.
    ///
    /// The records are written in one Kafka transaction with the offset of the batch. This needs
    /// the setting [`output_topics`](crate::Config#structfield.output_topics). If the transaction
    /// is aborted, the same records are written again without another call. After a crash or a
    /// rebalance the batch is delivered again, so the handler must have no other effects.
    fn answer(&self, batch: Arc<Batch>) -> impl Future<Output = Result<Answer, Failure>> + Send {
        async move { self.handle(&batch).await.map(Answer::from) }
    }

    /// Where to read a partition from. It is called at every assignment before the first batch. The
    /// parameters are the fields of [`Batch`] with the same names. By default the handler keeps no
    /// position.
    ///
    /// After a failure it is called again after a pause; the partition is not read until then.
    /// [`Failure::Fatal`] stops the engine. [`Failure::Rewind`] and [`Failure::Lost`] count as
    /// fatal here.
    fn position(
        &self,
        group: &str,
        topic: &str,
        log_id: &str,
        partition: i32,
    ) -> impl Future<Output = Result<Position, Failure>> + Send {
        let _ = (group, topic, log_id, partition);
        ready(Ok(Position::Committed))
    }
}

impl<H: Handler> Handler for Arc<H> {
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        H::handle(self, batch).await
    }

    async fn answer(&self, batch: Arc<Batch>) -> Result<Answer, Failure> {
        H::answer(self, batch).await
    }

    async fn position(
        &self,
        group: &str,
        topic: &str,
        log_id: &str,
        partition: i32,
    ) -> Result<Position, Failure> {
        H::position(self, group, topic, log_id, partition).await
    }
}

/// Where to read a partition from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The handler keeps no offsets: read from the group's committed offset in Kafka, or from the
    /// configured start if there is none.
    Committed,
    /// The handler keeps offsets and has none for this log: read from the configured start.
    Start,
    /// The handler keeps offsets and has none for this partition, but it continues the results of
    /// another program, which committed its offsets in Kafka for the same group: read from the
    /// committed offset. A partition without one is read from the configured start. If none of the
    /// topic's partitions has one, the engine stops, because those results would be counted again.
    Adopted,
    /// The handler's stored position: the end of the last batch it applied.
    At(i64),
}

impl Position {
    /// The stored position, if there is one.
    pub(crate) fn offset(self) -> Option<i64> {
        match self {
            Position::At(offset) => Some(offset),
            Position::Committed | Position::Start | Position::Adopted => None,
        }
    }
}

/// A record that the handler rejects. The rest of the batch counts as applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The record's offset; it must be one of the batch.
    pub offset: i64,
    /// The reason, for the operator.
    pub reason: String,
}

impl Rejection {
    /// Rejects the record at this offset.
    pub fn new(offset: i64, reason: impl Into<String>) -> Self {
        Self { offset, reason: reason.into() }
    }
}

/// Why a batch was not applied.
///
/// After `Trap`, `Deadline` and `Memory` it is unknown what was applied. The batch is split into
/// halves until the record that causes the failure is isolated; the others are applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A transient failure; nothing was applied. The same batch is passed again after a growing
    /// pause.
    #[error("the batch was not applied, and is to be retried: {0}")]
    Retry(String),
    /// The handler's stored position, which is before the batch's start. The engine continues
    /// reading there.
    #[error("the handler is at offset {0}, before the start of the batch")]
    Rewind(i64),
    /// The handler has lost everything that it stored, including its position. The engine requests
    /// the position, as at an assignment, and continues there.
    #[error("the handler has lost what it stored")]
    Lost,
    /// No retry can succeed: the engine stops with this message.
    #[error("the handler cannot continue: {0}")]
    Fatal(String),
    /// The handler broke down while it processed the batch.
    #[error("the handler broke down: {0}")]
    Trap(String),
    /// The handler did not answer before its deadline.
    #[error("the handler missed its deadline: {0}")]
    Deadline(String),
    /// The handler exceeded its memory limit.
    #[error("the handler exceeded its memory limit: {0}")]
    Memory(String),
}

impl Failure {
    /// [`Failure::Retry`] because of this error, for `map_err`.
    pub fn retry(error: impl Display) -> Self {
        Self::Retry(error.to_string())
    }

    /// [`Failure::Fatal`] because of this error, for `map_err`.
    pub fn fatal(error: impl Display) -> Self {
        Self::Fatal(error.to_string())
    }
}
