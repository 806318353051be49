//! The task of one partition: owns the parts, and determines where they begin and end.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::applier::{Applier, TransactionWriter};
use super::batch_loop::BatchLoop;
use super::context::{TaskContext, TaskEnd};
use super::cursor::Cursor;
use super::handler_calls::HandlerCalls;
use super::locator::Locator;
use super::log_check::LogCheck;
use super::offset_store::OffsetStore;
use super::reader::Reader;
use crate::Position;
use crate::consumer::Consumer;
use crate::engine::Engine;
use crate::extent::Extent;
use crate::lease::Lease;
use crate::log_id::Log;

/// The task of a partition that this member owns.
pub(crate) struct PartitionTask {
    ctx: Arc<TaskContext>,
    batches: BatchLoop,
    locator: Arc<Locator>,
    log_check: Arc<LogCheck>,
    offsets: Arc<OffsetStore>,
    /// Dropped when the task has ended. It is the last field, so that it is dropped after the
    /// reader's queue.
    _end: Sender<()>,
}

impl PartitionTask {
    /// Splits the partition's queue. The receiver is disconnected when the task and everything it
    /// owns are gone. `replay_until` is the end of the range to read again, outside the group.
    pub fn split(
        engine: &Arc<Engine>,
        consumer: &Arc<Consumer>,
        topic: &str,
        number: i32,
        replay_until: Option<i64>,
    ) -> Option<(Self, Receiver<()>)> {
        let ctx = Arc::new(TaskContext {
            engine: engine.clone(),
            consumer: consumer.clone(),
            topic: Arc::from(topic),
            number,
            stop: engine.stop.child_token(),
            is_replay: replay_until.is_some(),
        });
        let reader = Reader::split(ctx.clone(), replay_until)?;
        let offsets = Arc::new(OffsetStore::new(ctx.clone()));
        let calls = Arc::new(HandlerCalls::new(ctx.clone()));
        let log_check = Arc::new(LogCheck::new(ctx.clone()));
        let is_transactional = ctx.engine.config.is_transactional();
        let transactions = is_transactional.then(|| offsets.clone() as Arc<dyn TransactionWriter>);
        let applier = Applier::new(ctx.clone(), calls.clone(), offsets.clone(), transactions);
        let locator =
            Arc::new(Locator::new(ctx.clone(), calls, log_check.clone(), offsets.clone()));
        let (end, ended) = channel();
        let task = Self {
            batches: BatchLoop::new(
                ctx.clone(),
                reader,
                applier,
                locator.clone(),
                log_check.clone(),
                offsets.clone(),
            ),
            ctx,
            locator,
            log_check,
            offsets,
            _end: end,
        };
        Some((task, ended))
    }

    pub fn topic_partition(&self) -> (Arc<str>, i32) {
        (self.ctx.topic.clone(), self.ctx.number)
    }

    /// Cancelling this token stops the task.
    pub fn stop(&self) -> &CancellationToken {
        &self.ctx.stop
    }

    /// The right of the task to store offsets.
    pub fn lease(&self) -> &Arc<Lease> {
        &self.offsets.lease
    }

    /// Reads until stopped. An error that no retry can fix stops the engine.
    pub async fn run(mut self) {
        if let Err(TaskEnd::Failed(error)) = self.consume().await {
            self.ctx.engine.fail(error);
        }
    }

    async fn consume(&mut self) -> Result<(), TaskEnd> {
        let mut cursor = self.locator.initial_position(None, Extent::up_to(0)).await?;
        self.offsets.status.begin_at(cursor.start);
        loop {
            self.batches.take_turn(&mut cursor).await?;
        }
    }

    /// Reads from `from` up to `to`, which is the end that [`PartitionTask::split`] got. No offset
    /// is stored.
    pub async fn replay(self, from: i64, to: i64) -> Result<(), TaskEnd> {
        let (log, position) = self.stored_position().await?;
        let expected_position = self.check_replay(position, from)?;
        let keeps_position = expected_position.is_some();
        let cursor = Cursor { keeps_position, expected_position, ..Cursor::at(log, from) };
        self.read_up_to(cursor, to).await
    }

    /// Reads what the handler has not applied yet of the records from `from`, where the log begins,
    /// up to `to`, which is the end that [`PartitionTask::split`] got. No offset is stored.
    pub async fn recount(self, from: i64, to: i64) -> Result<(), TaskEnd> {
        let (log, position) = self.stored_position().await?;
        let (start, expected_position) = match position {
            Position::Start => (from, None),
            Position::At(position) if position >= from => (position, Some(position)),
            Position::At(position) => {
                let reason = format!(
                    "the records from there to offset {from} were not counted again, and the range \
                     begins after them or they were deleted"
                );
                return Err(self.ctx.handler_error(position, reason));
            }
            Position::Committed => {
                let reason = "the handler keeps no position, so it cannot count again";
                return Err(self.ctx.handler_error(from, reason));
            }
            Position::Adopted => {
                let reason = "the handler continues the results of another program, which cannot \
                              be counted again: begin from the present state";
                return Err(self.ctx.handler_error(from, reason));
            }
        };
        if start >= to {
            return Ok(());
        }
        let cursor = Cursor::at(log, start);
        self.read_up_to(Cursor { keeps_position: true, expected_position, ..cursor }, to).await
    }

    /// The position that the handler has stored, and the log that it belongs to. From now on the
    /// task stores no offsets.
    async fn stored_position(&self) -> Result<(Log, Position), TaskEnd> {
        self.offsets.lease.revoke();
        let log_id = self.log_check.log_id(Instant::now()).await?;
        self.locator.stored_position(&log_id).await
    }

    async fn read_up_to(mut self, mut cursor: Cursor, to: i64) -> Result<(), TaskEnd> {
        self.offsets.status.set_log_end(to, to);
        self.offsets.status.begin_at(cursor.start);
        while !self.batches.has_ended() {
            self.batches.take_turn(&mut cursor).await?;
        }
        self.offsets.status.advance(to);
        Ok(())
    }

    /// The position of a handler that keeps it, which must be at or after `from`. Otherwise the
    /// records between the position and `from` would never be counted, because the group determines
    /// where counting begins.
    fn check_replay(&self, position: Position, from: i64) -> Result<Option<i64>, TaskEnd> {
        let reason = match position {
            Position::Committed => return Ok(None),
            Position::At(position) if position >= from => return Ok(Some(position)),
            Position::At(position) => format!(
                "the handler's store has this partition up to offset {position}: a replay from \
                 {from} would leave out what lies between; begin at {position} or before"
            ),
            Position::Start | Position::Adopted => {
                "the handler's store has no position in this log, and a replay must \
                                not decide where counting begins: let the trigger itself read the \
                                topic first"
                    .into()
            }
        };
        Err(self.ctx.handler_error(from, reason))
    }
}

impl Drop for PartitionTask {
    /// If a bug ends the task early, the engine stops: otherwise the partition would remain unread
    /// without notice.
    fn drop(&mut self) {
        let TaskContext { engine, topic, number, .. } = &*self.ctx;
        engine.progress.remove(topic, *number, &self.offsets.status);
        if std::thread::panicking() {
            engine.fail_group(format!("{topic}/{number}: its task panicked"));
        }
    }
}
