//! Reads one partition's own queue into batches.

use std::ops::Range;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batch::{BatchBuilder, Gathered};
use crate::engine::{Engine, History};
use crate::extent::Extent;
use crate::group::Consumer;
use crate::identity::LOG_CHECK_INTERVAL;
use crate::native::{Event, Fetched, PartitionQueue};
use crate::partition::Cursor;
use crate::sequence::{Sequence, Step};
use crate::turns::Turn;
use crate::{Config, Error, Message, filter, native};

/// Reads a partition in order; skips what comes twice, notices what is gone.
pub(crate) struct Reader {
    engine: Arc<Engine>,
    consumer: Arc<Consumer>,
    topic: Arc<str>,
    partition: i32,
    queue: PartitionQueue,
    nonempty: Arc<Notify>,
    builder: BatchBuilder,
    sequence: Sequence,
    /// What else is known of the records in the builder.
    origin: Origin,
    /// The name of the log that is read.
    log: Arc<str>,
    /// How far it was read.
    read: Extent,
    /// When reading began, until the first answer to a fetch.
    unanswered_since: Option<Instant>,
    /// Where reading ends, if it does.
    until: Option<i64>,
    ended: bool,
}

/// Where a log that was read further was written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// From this offset on.
    At(i64),
    /// Somewhere below where it was read: the records do not tell.
    Unknown,
}

/// Where records came from.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    /// The brokers that served them.
    pub brokers: Vec<i32>,
    /// Offsets in front of them that the log no longer holds.
    pub lost: Vec<Range<i64>>,
}

/// What reading came to.
pub(crate) enum Read {
    /// What a batch is made of.
    Records(Gathered, Origin),
    /// There was nothing to read for [`LOG_CHECK_INTERVAL`].
    Idle,
    /// Another partition's turn has come, and there is nothing to read here.
    TurnOver,
    /// The log goes back before the position: it was cut or replaced.
    Truncated(Cut),
    /// Everything up to where it is to end was read.
    Ended,
    /// The partition is to be given back.
    Stopped,
}

/// How far the queue could be read without waiting.
enum Drained {
    Full,
    Empty,
    Ended,
    Truncated(Cut),
}

impl Reader {
    /// Splits the partition's queue from the main one; none if librdkafka does not take the
    /// topic's name.
    pub fn split(
        engine: &Arc<Engine>,
        consumer: &Arc<Consumer>,
        topic: &Arc<str>,
        partition: i32,
    ) -> Option<Self> {
        let nonempty = Arc::new(Notify::new());
        let queue = PartitionQueue::split(consumer, topic, partition, nonempty.clone())?;
        let Config { batch_records_max, batch_bytes_max, .. } = engine.config;
        Some(Self {
            engine: engine.clone(),
            consumer: consumer.clone(),
            topic: topic.clone(),
            partition,
            queue,
            nonempty,
            builder: BatchBuilder::new(batch_records_max, batch_bytes_max),
            sequence: Sequence::new(0, 0),
            origin: Origin::default(),
            log: Arc::default(),
            read: Extent::up_to(0),
            unanswered_since: None,
            until: None,
            ended: false,
        })
    }

    /// Reading ends before `offset`, which the log has reached already.
    pub fn end_at(&mut self, offset: i64) {
        self.until = Some(offset);
    }

    /// Whether reading ends somewhere.
    pub fn is_bounded(&self) -> bool {
        self.until.is_some()
    }

    /// What this process has read of the log of this name, if anything.
    pub fn history(&self, log: &Arc<str>) -> Option<History> {
        let histories = self.engine.history.lock().unwrap_or_else(PoisonError::into_inner);
        let history = histories.get(&(self.topic.clone(), self.partition))?;
        (history.log == *log).then(|| history.clone())
    }

    /// For how long no fetch was answered since reading began.
    pub fn unanswered_for(&self) -> Duration {
        self.unanswered_since.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// How far the log was read.
    pub fn read(&self) -> Extent {
        self.read
    }

    /// Whether everything was read.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Reading goes on at the cursor. The client was made to seek there.
    pub fn begin(&mut self, cursor: &Cursor) {
        self.builder.clear();
        self.origin = Origin::default();
        (self.log, self.read) = (cursor.log.name.clone(), cursor.read);
        self.unanswered_since = Some(Instant::now());
        self.sequence = Sequence::new(cursor.start, cursor.read_from);
    }

    /// Frees what was fetched, once the partition is paused. (librdkafka drops what is outdated
    /// when somebody asks for more, not before.)
    pub fn discard(&mut self) {
        self.builder.clear();
        while self.queue.poll().is_some() {}
    }

    /// The next batch's records. Waits for the first one as long as the turn lasts; then for
    /// more as long as the configuration says, unless the batch is full.
    pub async fn next(&mut self, stop: &CancellationToken, turn: &Turn) -> Result<Read, Error> {
        let mut give_up: Option<Instant> = None;
        loop {
            if stop.is_cancelled() {
                return Ok(Read::Stopped);
            }
            match self.drain()? {
                Drained::Truncated(cut) => return Ok(Read::Truncated(cut)),
                Drained::Empty if self.builder.is_empty() => tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.nonempty.notified() => {}
                    () = turn.over() => return Ok(Read::TurnOver),
                    () = tokio::time::sleep(LOG_CHECK_INTERVAL) => return Ok(Read::Idle),
                },
                Drained::Empty => {
                    let wait = self.engine.config.batch_wait();
                    let until = *give_up.get_or_insert_with(|| Instant::now() + wait);
                    tokio::select! {
                        biased;
                        () = self.nonempty.notified() => {}
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep_until(until) => {
                            if let Some(records) = self.take() {
                                return Ok(records);
                            }
                        }
                    }
                }
                Drained::Ended => {
                    return Ok(self.take().unwrap_or(Read::Ended));
                }
                Drained::Full => {
                    if let Some(records) = self.take() {
                        return Ok(records);
                    }
                }
            }
        }
    }

    /// What was gathered, if anything.
    fn take(&mut self) -> Option<Read> {
        let gathered = self.builder.take()?;
        let timestamps = gathered.messages.iter().filter_map(|message| message.timestamp_ms);
        self.remember(timestamps.max());
        let origin = std::mem::take(&mut self.origin);
        if !self.builder.is_empty() {
            // A record that did not fit begins the next batch; the last broker served it.
            self.origin.brokers.extend(origin.brokers.last());
        }
        Some(Read::Records(gathered, origin))
    }

    fn remember(&self, newest_ms: Option<i64>) {
        let key = (self.topic.clone(), self.partition);
        let mut histories = self.engine.history.lock().unwrap_or_else(PoisonError::into_inner);
        let known = histories.get(&key).filter(|known| known.log == self.log);
        let newest_ms = newest_ms.max(known.and_then(|known| known.newest_ms));
        histories.insert(key, History { log: self.log.clone(), read: self.read, newest_ms });
    }

    /// Takes what is queued, up to a full batch. No await, no lock of ours, no hop.
    fn drain(&mut self) -> Result<Drained, Error> {
        while !self.builder.is_full() {
            if self.ended {
                return Ok(Drained::Ended);
            }
            let Some(fetched) = self.queue.poll() else { return Ok(Drained::Empty) };
            let Fetched { event, broker, epoch } = fetched;
            if !matches!(event, Event::Failed(_)) {
                self.unanswered_since = None;
            }
            let cut = match event {
                Event::Record(message) => self.observe(message, broker, epoch),
                Event::End(offset) => self.reach(offset, broker),
                Event::Failed(code) => {
                    self.judge(code)?;
                    None
                }
            };
            if let Some(cut) = cut {
                return Ok(Drained::Truncated(cut));
            }
        }
        Ok(Drained::Full)
    }

    /// Gathers a record, unless the log turns out to be another one than was read before.
    fn observe(&mut self, message: Message, broker: i32, epoch: i32) -> Option<Cut> {
        if self.until.is_some_and(|until| message.offset >= until) {
            self.ended = true;
            return None;
        }
        // A leader without the end of the log was elected, and has written there since.
        // librdkafka asks it where its log parted from the old one, and reads on from there.
        if !self.read.take(message.offset, epoch) {
            return Some(Cut::At(message.offset));
        }
        match self.sequence.observe(message.offset) {
            Step::Next => {}
            Step::Gap { from } => self.find_loss(from..message.offset),
            // A rebalance makes librdkafka fetch again what it had queued; at worst the last
            // record comes twice.
            Step::Behind => return self.truncated(),
        }
        self.served_by(broker);
        if filter::pass(&self.engine.config.filters, &message) {
            self.builder.push(message);
        } else {
            self.engine.metrics.filtered.inc();
            self.builder.pass_over(message.offset);
        }
        None
    }

    /// Everything before `end` was read. What lies there without being a record is passed over:
    /// the markers of transactions, aborted records, and records that were deleted or compacted
    /// away.
    fn reach(&mut self, end: i64, broker: i32) -> Option<Cut> {
        self.ended = self.until.is_some();
        let from = self.sequence.next();
        if end < from.max(self.read.end) {
            return self.truncated();
        }
        self.read.reach(end);
        if self.sequence.reach(end) {
            self.find_loss(from..end);
            self.served_by(broker);
            self.builder.pass_over(end - 1);
        }
        None
    }

    /// Whether the log ends before what was read. It is another one then, or was cut.
    fn truncated(&self) -> Option<Cut> {
        let (_, end) = self.watermarks();
        let truncated = (0..self.sequence.next().max(self.read.end)).contains(&end);
        truncated.then_some(Cut::Unknown)
    }

    fn served_by(&mut self, broker: i32) {
        if !self.origin.brokers.contains(&broker) {
            self.origin.brokers.push(broker);
        }
    }

    fn find_loss(&mut self, gap: Range<i64>) {
        let (log_start, _) = self.watermarks();
        self.origin.lost.extend(self.sequence.lost(gap, log_start));
    }

    /// The log's start and end as the last fetch told them; negative if unknown.
    pub fn watermarks(&self) -> (i64, i64) {
        native::watermarks(self.consumer.client(), &self.topic, self.partition).unwrap_or((-1, -1))
    }

    /// Faults that pass are logged; librdkafka goes on by itself. Records that cannot be
    /// decoded would be skipped: the engine stops instead.
    fn judge(&self, code: RDKafkaErrorCode) -> Result<(), Error> {
        let (topic, partition) = (&self.topic, self.partition);
        let offset = self.sequence.next();
        match code {
            RDKafkaErrorCode::BadCompression
            | RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::NotImplemented => {
                Err(Error::Unreadable { topic: topic.to_string(), partition, offset, code })
            }
            error => {
                tracing::error!(%topic, partition, offset, %error, "cannot read; trying on");
                Ok(())
            }
        }
    }
}
