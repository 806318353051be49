//! The task of one partition: determines the position, reads, hands over batches, and stores
//! offsets.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::applier::Applier;
use super::context::{TaskContext, TaskEnd};
use super::cursor::Cursor;
use super::gatherer::Origin;
use super::handler_calls::{HandlerCalls, LostState};
use super::locator::Locator;
use super::log_check::LogCheck;
use super::offset_store::OffsetStore;
use super::reader::{Read, Reader};
use crate::batch::Gathered;
use crate::consumer::Consumer;
use crate::engine::Engine;
use crate::lease::Lease;
use crate::log_id::LOG_CHECK_INTERVAL;
use crate::turns::Turn;
use crate::{Batch, Error, Message, Position};

/// A client that has fetched nothing for this long although it should is replaced. With the default
/// settings a fetch returns at most a megabyte.
const FETCH_LIMIT: Duration = Duration::from_secs(30);

/// The task of a partition that this member owns.
pub(crate) struct PartitionTask {
    ctx: Arc<TaskContext>,
    reader: Reader,
    applier: Applier,
    locator: Locator,
    log_check: Arc<LogCheck>,
    offsets: Arc<OffsetStore>,
    /// Dropped when the task has ended. It is the last field, so that it is dropped after the
    /// reader's queue.
    _end: Sender<()>,
}

/// Why the sequence of batches ended.
enum ReadEnd {
    /// Reading continues at another position.
    Moved,
    /// The partition's turn is over.
    TurnOver,
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
        let (end, ended) = channel();
        let task = Self {
            applier: Applier::new(ctx.clone(), calls.clone(), offsets.clone()),
            locator: Locator::new(ctx.clone(), calls, log_check.clone(), offsets.clone()),
            ctx,
            reader,
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
        let mut cursor = self.locator.initial_position(None, self.reader.read()).await?;
        self.offsets.status.begin_at(cursor.start);
        loop {
            self.take_turn(&mut cursor).await?;
        }
    }

    /// Reads from `from` up to `to`, which is the end that [`PartitionTask::split`] got. No offset
    /// is stored.
    pub async fn replay(mut self, from: i64, to: i64) -> Result<(), TaskEnd> {
        self.offsets.lease.revoke();
        let log_id = self.log_check.log_id(Instant::now()).await?;
        let (log, position) = self.locator.stored_position(&log_id).await?;
        let keeps_position = self.check_replay(position, from)?;
        let mut cursor = Cursor { keeps_position, first: false, ..Cursor::at(log, from) };
        self.offsets.status.set_log_end(to, to);
        self.offsets.status.begin_at(from);
        while !self.reader.has_ended() {
            self.take_turn(&mut cursor).await?;
        }
        self.offsets.status.advance(to);
        Ok(())
    }

    /// Whether the handler keeps its position. The position of such a handler must be at or after
    /// `from`. Otherwise the records between the position and `from` would never be counted,
    /// because the group determines where counting begins.
    fn check_replay(&self, position: Position, from: i64) -> Result<bool, TaskEnd> {
        let reason = match position {
            Position::Committed => return Ok(false),
            Position::At(position) if position >= from => return Ok(true),
            Position::At(position) => format!(
                "the handler's store has this partition up to offset {position}: a replay from \
                 {from} would leave out what lies between; begin at {position} or before"
            ),
            Position::Start => {
                "the handler's store has no position in this log, and a replay must \
                                not decide where counting begins: let the trigger itself read the \
                                topic first"
                    .into()
            }
        };
        Err(self.ctx.handler_error(from, reason))
    }

    /// Waits for a turn and reads until the turn is over. Between turns the memory is available to
    /// other partitions.
    async fn take_turn(&mut self, cursor: &mut Cursor) -> Result<(), TaskEnd> {
        let turn = tokio::select! {
            () = self.ctx.stop.cancelled() => return Err(TaskEnd::Stopped),
            turn = self.ctx.engine.turns.take() => turn,
        };
        let moved = cursor.checked.elapsed() >= LOG_CHECK_INTERVAL
            && self.log_check.is_replaced(cursor).await;
        if moved {
            self.locator.relocate(cursor, None).await?;
        }
        self.read(cursor, &turn, moved).await?;
        self.ctx.pause_fetching().await?;
        self.reader.discard();
        Ok(())
    }

    /// Reads until the turn is over, from the position that the handler and the log determine.
    /// `moved` means that the cursor is not where reading ended.
    async fn read(
        &mut self,
        cursor: &mut Cursor,
        turn: &Turn,
        mut moved: bool,
    ) -> Result<(), TaskEnd> {
        loop {
            self.ctx.seek(cursor).await?;
            self.ctx.resume_fetching().await?;
            self.reader.begin(cursor);
            if moved {
                self.offsets.status.begin_at(cursor.start);
                // The committed offset may belong to another log, or may lie behind the current
                // position.
                self.offsets.store(cursor.start, self.reader.read());
            }
            match self.read_batches(cursor, turn).await? {
                ReadEnd::Moved => moved = true,
                ReadEnd::TurnOver => return Ok(()),
            }
        }
    }

    /// Hands over one batch after another until the sequence of offsets is interrupted.
    async fn read_batches(&mut self, cursor: &mut Cursor, turn: &Turn) -> Result<ReadEnd, TaskEnd> {
        loop {
            let (gathered, origin) = match self.reader.next(turn).await? {
                Read::Records(gathered, origin) => (gathered, origin),
                Read::Idle if self.log_check.is_replaced(cursor).await => {
                    self.locator.relocate(cursor, None).await?;
                    return Ok(ReadEnd::Moved);
                }
                Read::Idle => {
                    self.check_fetching(cursor).await?;
                    continue;
                }
                Read::Rewritten(cut) => {
                    self.locator.relocate(cursor, Some(cut)).await?;
                    return Ok(ReadEnd::Moved);
                }
                Read::TurnOver | Read::Ended => return Ok(ReadEnd::TurnOver),
                Read::Stopped => return Err(TaskEnd::Stopped),
            };
            if !self.log_check.is_from(cursor, &origin.brokers).await? {
                self.locator.relocate(cursor, None).await?;
                return Ok(ReadEnd::Moved);
            }
            self.report(&gathered.messages, &origin);
            let end = gathered.end;
            if let Some(lost) = self.apply(cursor, gathered).await? {
                self.go_back(cursor, lost).await?;
                return Ok(ReadEnd::Moved);
            }
            (cursor.start, cursor.read_from, cursor.first) = (end, end, false);
            cursor.read = self.reader.read();
            if turn.is_over() {
                return Ok(ReadEnd::TurnOver);
            }
        }
    }

    /// Applies what was gathered. Returns what the handler's store has lost.
    async fn apply(
        &self,
        cursor: &Cursor,
        gathered: Gathered,
    ) -> Result<Option<LostState>, TaskEnd> {
        let (Gathered { messages, end }, read) = (gathered, self.reader.read());
        if messages.is_empty() && !cursor.keeps_position {
            self.offsets.advance(end, read);
            return Ok(None);
        }
        let batch = Batch {
            topic: self.ctx.topic.clone(),
            log_id: cursor.log.name.clone(),
            partition: self.ctx.number,
            first: cursor.first,
            start: cursor.start,
            end,
            messages,
        };
        self.applier.apply(batch, cursor.keeps_position, read).await
    }

    /// Fails if the client has fetched nothing though there is something to read.
    ///
    /// librdkafka 2.12 keeps the leader epoch of a partition whose topic was deleted and created
    /// again, and considers the metadata of the new leader, whose epoch is lower, outdated.
    async fn check_fetching(&self, cursor: &Cursor) -> Result<(), TaskEnd> {
        let waited = self.reader.unanswered_for();
        if waited < FETCH_LIMIT || self.ctx.watermarks().await?.1 <= cursor.read_from {
            return Ok(());
        }
        Err(TaskEnd::Failed(Error::NothingFetched {
            topic: self.ctx.topic.to_string(),
            partition: self.ctx.number,
            offset: cursor.read_from,
            waited_s: waited.as_secs(),
        }))
    }

    /// Moves the cursor to the position of the handler's store.
    async fn go_back(&self, cursor: &mut Cursor, lost: LostState) -> Result<(), TaskEnd> {
        if self.ctx.is_replay {
            let reason = "the handler's store is behind the range to replay";
            return Err(self.ctx.handler_error(cursor.start, reason));
        }
        match lost {
            LostState::From(position) => (cursor.start, cursor.read_from) = (position, position),
            LostState::All => {
                let (applied, read) = (Some(cursor.start), self.reader.read());
                *cursor = self.locator.initial_position(applied, read).await?;
            }
        }
        Ok(())
    }

    /// Reports what was read, before it is applied.
    fn report(&self, messages: &[Message], origin: &Origin) {
        let TaskContext { engine, topic, number, is_replay, .. } = &*self.ctx;
        for lost in &origin.lost {
            engine.report_loss(topic, *number, lost.start, lost.end);
        }
        let log_end = if *is_replay { None } else { self.reader.log_end() };
        let oldest_ms = messages.first().and_then(|message| message.timestamp_ms);
        self.offsets.status.set_oldest_pending(oldest_ms, log_end);
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
