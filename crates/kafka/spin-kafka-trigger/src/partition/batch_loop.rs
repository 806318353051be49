//! Reads a partition turn by turn, and hands over one batch after another.

use std::sync::Arc;
use std::time::Duration;

use super::applier::Applier;
use super::context::{TaskContext, TaskEnd};
use super::cursor::Cursor;
use super::gatherer::Origin;
use super::handler_calls::LostState;
use super::locator::Locator;
use super::log_check::LogCheck;
use super::offset_store::OffsetStore;
use super::reader::{Read, Reader};
use crate::batch::Gathered;
use crate::log_id::LOG_CHECK_INTERVAL;
use crate::turns::Turn;
use crate::{Batch, Error, Message};

/// A client that has fetched nothing for this long although it should is replaced. With the default
/// settings a fetch returns at most a megabyte.
const FETCH_LIMIT: Duration = Duration::from_secs(30);

/// Reads a partition turn by turn, and hands over one batch after another.
pub(crate) struct BatchLoop {
    ctx: Arc<TaskContext>,
    reader: Reader,
    applier: Applier,
    locator: Arc<Locator>,
    log_check: Arc<LogCheck>,
    offsets: Arc<OffsetStore>,
}

/// Why the sequence of batches ended.
enum ReadEnd {
    /// Reading continues at another position.
    Moved,
    /// The partition's turn is over.
    TurnOver,
}

impl BatchLoop {
    pub fn new(
        ctx: Arc<TaskContext>,
        reader: Reader,
        applier: Applier,
        locator: Arc<Locator>,
        log_check: Arc<LogCheck>,
        offsets: Arc<OffsetStore>,
    ) -> Self {
        Self { ctx, reader, applier, locator, log_check, offsets }
    }

    /// Whether the range to read again ended.
    pub fn has_ended(&self) -> bool {
        self.reader.has_ended()
    }

    /// Waits for a turn and reads until the turn is over. Between turns the memory is available to
    /// other partitions.
    pub async fn take_turn(&mut self, cursor: &mut Cursor) -> Result<(), TaskEnd> {
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
                if self.ctx.engine.transactions.is_some() {
                    self.offsets.commit(cursor.start, self.reader.read()).await?;
                } else {
                    self.offsets.store(cursor.start, self.reader.read());
                }
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
            self.report(&gathered.records, &origin);
            let end = gathered.end;
            if let Some(lost) = self.apply(cursor, gathered).await? {
                self.go_back(cursor, lost).await?;
                return Ok(ReadEnd::Moved);
            }
            cursor.advance(end);
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
        let (Gathered { records, end }, read) = (gathered, self.reader.read());
        if records.is_empty() && !cursor.keeps_position {
            self.applier.pass_over(end, read).await?;
            return Ok(None);
        }
        let batch = Batch {
            topic: self.ctx.topic.clone(),
            log_id: cursor.log.name.clone(),
            partition: self.ctx.number,
            group: self.ctx.engine.config.group.as_str().into(),
            expected_position: cursor.expected_position,
            start: cursor.start,
            end,
            attempt: 1,
            records,
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
            LostState::From(position) => cursor.rewind(position),
            LostState::All => {
                let (applied, read) = (Some(cursor.start), self.reader.read());
                *cursor = self.locator.initial_position(applied, read).await?;
            }
        }
        Ok(())
    }

    /// Reports what was read, before it is applied.
    fn report(&self, records: &[Message], origin: &Origin) {
        let TaskContext { engine, topic, number, is_replay, .. } = &*self.ctx;
        for lost in &origin.lost {
            engine.report_loss(topic, *number, lost.start, lost.end);
        }
        let log_end = if *is_replay { None } else { self.reader.log_end() };
        let oldest_ms = records.first().and_then(|message| message.timestamp_ms);
        self.offsets.status.set_oldest_pending(oldest_ms, log_end);
    }
}
