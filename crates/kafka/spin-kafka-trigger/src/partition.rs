//! The task of one partition: determines the position, reads, hands over batches, and stores
//! offsets.

use std::sync::atomic::AtomicU32;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use crate::attempt::Behind;
use crate::batch::Gathered;
use crate::engine::Engine;
use crate::extent::Extent;
use crate::group::Consumer;
use crate::identity::LOG_CHECK_INTERVAL;
use crate::lease::Lease;
use crate::log_id::Log;
use crate::progress::Standing;
use crate::reader::{Origin, Read, Reader};
use crate::turns::Turn;
use crate::{Batch, Error, Message, native, offsets};

/// A client that has fetched nothing for this long although it should is replaced. With the default
/// settings a fetch returns at most a megabyte.
const FETCH_LIMIT: Duration = Duration::from_secs(30);

/// A partition that this member owns.
pub(crate) struct Partition {
    pub engine: Arc<Engine>,
    pub consumer: Arc<Consumer>,
    pub topic: Arc<str>,
    pub number: i32,
    pub stop: CancellationToken,
    pub lease: Arc<Lease>,
    pub standing: Arc<Standing>,
    /// Number of consecutive records that were given up, with none applied in between.
    pub poison_in_a_row: AtomicU32,
    /// Number of consecutive checks that did not determine whether the topic was replaced.
    pub log_checks_failed: AtomicU32,
    pub reader: Reader,
    /// How many partitions the topic had when the group began to read it. Set only if `start` is
    /// `latest`.
    pub partitions_at_start: OnceLock<i32>,
    /// Dropped when the task has ended. It is the last field, so that it is dropped after the
    /// reader's queue.
    _end: Sender<()>,
}

/// Where a partition is being read.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    pub log: Log,
    /// When the log's identity was last checked.
    pub checked: Instant,
    /// The next batch's start.
    pub start: i64,
    /// Where the client reads: `start`, or the beginning of the log if `start` no longer exists.
    pub read_from: i64,
    /// How far the log was read. It is beyond `start` if batches are delivered again.
    pub read: Extent,
    /// Whether the handler keeps its position.
    pub kept: bool,
    /// Whether the next batch may be the first of this log that the handler applies.
    pub first: bool,
}

impl Cursor {
    /// A cursor at a position of a log whose id has just been queried.
    pub fn at(log: Log, start: i64) -> Self {
        Self {
            log,
            checked: Instant::now(),
            start,
            read_from: start,
            read: Extent::up_to(start),
            kept: false,
            first: true,
        }
    }
}

/// Why the sequence of batches ended.
pub(crate) enum Turned {
    /// Reading continues at another position.
    Moved,
    /// The partition's turn is over.
    Over,
}

/// Why a partition's task ends.
pub(crate) enum Halt {
    /// The partition is revoked, or the engine drains.
    Stopped,
    /// The engine must stop.
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Halt::Failed(error)
    }
}

impl Partition {
    /// Splits the partition's queue. The receiver is disconnected when the task and everything it
    /// owns are gone.
    pub fn split(
        engine: &Arc<Engine>,
        consumer: &Arc<Consumer>,
        topic: &str,
        number: i32,
    ) -> Option<(Self, Receiver<()>)> {
        let topic = Arc::from(topic);
        let reader = Reader::split(engine, consumer, &topic, number)?;
        let (end, ended) = channel();
        let standing = engine.progress.add(&topic, number);
        let partition = Self {
            engine: engine.clone(),
            consumer: consumer.clone(),
            topic,
            number,
            stop: engine.stop.child_token(),
            lease: Arc::new(Lease::new()),
            standing,
            poison_in_a_row: AtomicU32::new(0),
            log_checks_failed: AtomicU32::new(0),
            reader,
            partitions_at_start: OnceLock::new(),
            _end: end,
        };
        Some((partition, ended))
    }

    /// Reads until stopped. An error that no retry can fix stops the engine.
    pub async fn run(mut self) {
        if let Err(Halt::Failed(error)) = self.consume().await {
            self.engine.fail(error);
        }
    }

    async fn consume(&mut self) -> Result<(), Halt> {
        let mut cursor = self.locate(None).await?;
        self.standing.begins_at(cursor.start);
        loop {
            self.take_turn(&mut cursor).await?;
        }
    }

    /// Waits for a turn and reads until the turn is over. Between turns the memory is available to
    /// other partitions.
    pub async fn take_turn(&mut self, cursor: &mut Cursor) -> Result<(), Halt> {
        let turn = tokio::select! {
            () = self.stop.cancelled() => return Err(Halt::Stopped),
            turn = self.engine.turns.take() => turn,
        };
        let moved =
            cursor.checked.elapsed() >= LOG_CHECK_INTERVAL && self.log_replaced(cursor).await;
        if moved {
            self.relocate(cursor, None).await?;
        }
        self.read(cursor, &turn, moved).await?;
        self.suspend().await?;
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
    ) -> Result<(), Halt> {
        loop {
            self.seek(cursor).await?;
            self.resume().await?;
            self.reader.begin(cursor);
            if moved {
                self.standing.begins_at(cursor.start);
                // The committed offset may belong to another log, or may lie behind the current
                // position.
                self.store(cursor.start);
            }
            match self.follow(cursor, turn).await? {
                Turned::Moved => moved = true,
                Turned::Over => return Ok(()),
            }
        }
    }

    /// Hands over one batch after another until the sequence of offsets is interrupted.
    async fn follow(&mut self, cursor: &mut Cursor, turn: &Turn) -> Result<Turned, Halt> {
        loop {
            let (gathered, origin) = match self.reader.next(&self.stop, turn).await? {
                Read::Records(gathered, origin) => (gathered, origin),
                Read::Idle if self.log_replaced(cursor).await => {
                    return self.relocate(cursor, None).await;
                }
                Read::Idle => {
                    self.check_fetching(cursor).await?;
                    continue;
                }
                Read::Truncated(cut) => return self.relocate(cursor, Some(cut)).await,
                Read::TurnOver | Read::Ended => return Ok(Turned::Over),
                Read::Stopped => return Err(Halt::Stopped),
            };
            if !self.is_from(cursor, &origin).await? {
                return self.relocate(cursor, None).await;
            }
            let Gathered { messages, end } = gathered;
            self.report(&messages, &origin);
            if messages.is_empty() && !cursor.kept {
                self.moved(end);
            } else {
                let batch = Batch {
                    topic: self.topic.clone(),
                    log_id: cursor.log.name.clone(),
                    partition: self.number,
                    first: cursor.first,
                    start: cursor.start,
                    end,
                    messages,
                };
                if let Some(behind) = self.apply(batch, cursor.kept).await? {
                    self.go_back(cursor, behind).await?;
                    return Ok(Turned::Moved);
                }
            }
            (cursor.start, cursor.read_from, cursor.first) = (end, end, false);
            cursor.read = self.reader.read();
            if turn.is_over() {
                return Ok(Turned::Over);
            }
        }
    }

    /// Fails if the client has fetched nothing though there is something to read.
    ///
    /// librdkafka 2.12 keeps the leader epoch of a partition whose topic was deleted and created
    /// again, and considers the metadata of the new leader, whose epoch is lower, outdated.
    async fn check_fetching(&self, cursor: &Cursor) -> Result<(), Halt> {
        let waited = self.reader.unanswered_for();
        if waited < FETCH_LIMIT || self.watermarks().await?.1 <= cursor.read_from {
            return Ok(());
        }
        Err(Halt::Failed(Error::NothingFetched {
            topic: self.topic.to_string(),
            partition: self.number,
            offset: cursor.read_from,
            waited_s: waited.as_secs(),
        }))
    }

    /// Moves the cursor to the position of the handler's store.
    async fn go_back(&self, cursor: &mut Cursor, behind: Behind) -> Result<(), Halt> {
        if self.reader.is_bounded() {
            let reason = "the handler's store is behind what it is to replay";
            return Err(self.fault(cursor.start, reason));
        }
        match behind {
            Behind::At(position) => (cursor.start, cursor.read_from) = (position, position),
            Behind::Empty => *cursor = self.locate(Some(cursor.start)).await?,
        }
        Ok(())
    }

    /// Reports what was read, before it is applied.
    fn report(&self, messages: &[Message], origin: &Origin) {
        for lost in &origin.lost {
            self.engine.report_loss(&self.topic, self.number, lost.start, lost.end);
        }
        let (_, end) = self.reader.watermarks();
        let end = (end >= 0 && !self.reader.is_bounded()).then_some(end);
        self.standing.waits(messages.first().and_then(|message| message.timestamp_ms), end);
    }

    /// Notes that everything before `offset` is applied.
    pub fn moved(&self, offset: i64) {
        self.store(offset);
        self.standing.applied_to(offset);
    }

    /// Stores the offset for the next commit, unless the partition was revoked.
    pub fn store(&self, offset: i64) {
        let offsets = self.offset_to_commit(offset);
        let stored = self.lease.while_held(|| {
            let stored = offsets.and_then(|offsets| self.consumer.store_offsets(&offsets));
            if let Err(error) = stored {
                let (topic, partition) = (&self.topic, self.number);
                tracing::warn!(%topic, partition, offset, %error, "offset was not stored");
            }
        });
        if !stored {
            let (topic, partition) = (&self.topic, self.number);
            tracing::debug!(%topic, partition, offset, "too late to store the offset");
        }
    }

    /// The offset with the metadata of a commit.
    pub fn offset_to_commit(&self, offset: i64) -> KafkaResult<TopicPartitionList> {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&self.topic, self.number, Offset::Offset(offset))?;
        if let (Some(partitions), Some(mut partition)) =
            (self.partitions_at_start.get(), offsets.find_partition(&self.topic, self.number))
        {
            partition.set_metadata(offsets::metadata(*partitions));
        }
        native::set_leader_epoch(&mut offsets, self.reader.read().epoch_at(offset));
        Ok(offsets)
    }

    /// An error of the handler at `offset`.
    pub fn fault(&self, offset: i64, reason: impl Into<String>) -> Halt {
        Halt::Failed(Error::Handler {
            topic: self.topic.to_string(),
            partition: self.number,
            offset,
            reason: reason.into(),
        })
    }

    /// Waits; fails if the partition is revoked in the meantime.
    pub async fn pause(&self, pause: Duration) -> Result<(), Halt> {
        tokio::select! {
            () = self.stop.cancelled() => Err(Halt::Stopped),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}

impl Drop for Partition {
    /// If a bug ends the task early, the engine stops: otherwise the partition would remain unread
    /// without notice.
    fn drop(&mut self) {
        self.engine.progress.remove(&self.topic, self.number, &self.standing);
        if std::thread::panicking() {
            self.engine.fail_group(format!("{}/{}: its task panicked", self.topic, self.number));
        }
    }
}
