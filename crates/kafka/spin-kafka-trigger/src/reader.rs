//! Reads the queue of one partition into batches.

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

/// Reads a partition in order. It skips records that are fetched twice and detects lost ones.
pub(crate) struct Reader {
    engine: Arc<Engine>,
    consumer: Arc<Consumer>,
    topic: Arc<str>,
    partition: i32,
    queue: PartitionQueue,
    nonempty: Arc<Notify>,
    builder: BatchBuilder,
    sequence: Sequence,
    /// Where the records in the builder came from.
    origin: Origin,
    /// The name of the log that is being read.
    log: Arc<str>,
    /// How far the log was read.
    read: Extent,
    /// When reading began; `None` after the first answer to a fetch.
    unanswered_since: Option<Instant>,
    /// The offset before which reading ends; `None` if there is no limit.
    until: Option<i64>,
    ended: bool,
}

/// The offset from which a log was rewritten after it had been read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// From this offset on.
    At(i64),
    /// From an offset below the end of what was read that the records do not reveal.
    Unknown,
}

/// Where records came from.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    /// The brokers that served them.
    pub brokers: Vec<i32>,
    /// Ranges of offsets before the records that the log no longer holds.
    pub lost: Vec<Range<i64>>,
}

/// The result of reading.
pub(crate) enum Read {
    /// The records for a batch.
    Records(Gathered, Origin),
    /// There was nothing to read for [`LOG_CHECK_INTERVAL`].
    Idle,
    /// The turn is over, and there is nothing to read.
    TurnOver,
    /// The log ends or changes before the position: it was cut or replaced.
    Truncated(Cut),
    /// Everything before the limit was read.
    Ended,
    /// The partition is revoked, or the engine drains.
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
    /// Splits the partition's queue from the main queue. Returns `None` if librdkafka does not
    /// accept the topic's name.
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

    /// Makes reading end before `offset`, which must not be beyond the end of the log.
    pub fn end_at(&mut self, offset: i64) {
        self.until = Some(offset);
    }

    /// Whether reading has an end.
    pub fn is_bounded(&self) -> bool {
        self.until.is_some()
    }

    /// What this process has read of the log of this name; `None` if nothing.
    pub fn history(&self, log: &Arc<str>) -> Option<History> {
        let histories = self.engine.history.lock().unwrap_or_else(PoisonError::into_inner);
        let history = histories.get(&(self.topic.clone(), self.partition))?;
        (history.log == *log).then(|| history.clone())
    }

    /// The time since reading began, as long as no fetch was answered; zero after that.
    pub fn unanswered_for(&self) -> Duration {
        self.unanswered_since.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// How far the log was read.
    pub fn read(&self) -> Extent {
        self.read
    }

    /// Whether everything before the limit was read.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Continues reading at the cursor, to which the client has been made to seek.
    pub fn begin(&mut self, cursor: &Cursor) {
        self.builder.clear();
        self.origin = Origin::default();
        (self.log, self.read) = (cursor.log.name.clone(), cursor.read);
        self.unanswered_since = Some(Instant::now());
        self.sequence = Sequence::new(cursor.start, cursor.read_from);
    }

    /// Frees what was fetched, after the partition was paused. librdkafka drops outdated events
    /// only when the queue is polled.
    pub fn discard(&mut self) {
        self.builder.clear();
        while self.queue.poll(|_| false).is_some() {}
    }

    /// The records of the next batch. Waits for the first record as long as the turn lasts, then
    /// for more records for `batch_wait_ms` unless the batch is full.
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

    /// Takes what was gathered; `None` if nothing was.
    fn take(&mut self) -> Option<Read> {
        let gathered = self.builder.take()?;
        let timestamps = gathered.messages.iter().filter_map(|message| message.timestamp_ms);
        self.remember(timestamps.max());
        let origin = std::mem::take(&mut self.origin);
        if !self.builder.is_empty() {
            // The record that did not fit begins the next batch. It was served by the last broker.
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

    /// Takes the queued events, up to a full batch. This is the hot path: it does not await and
    /// takes no lock of the engine.
    fn drain(&mut self) -> Result<Drained, Error> {
        while !self.builder.is_full() {
            if self.ended {
                return Ok(Drained::Ended);
            }
            // The filters run on the record in librdkafka's buffer, so that only records that pass
            // are copied.
            let filters = &self.engine.config.filters;
            let polled = self.queue.poll(|record| filter::pass(filters, record));
            let Some(Fetched { event, broker, epoch }) = polled else { return Ok(Drained::Empty) };
            if !matches!(event, Event::Failed(_)) {
                self.unanswered_since = None;
            }
            let cut = match event {
                Event::Record { offset, message } => self.observe(offset, message, broker, epoch),
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

    /// Gathers a record; `message` is `None` if a filter dropped it. Returns a cut if the record
    /// shows that the log was rewritten.
    fn observe(
        &mut self,
        offset: i64,
        message: Option<Message>,
        broker: i32,
        epoch: i32,
    ) -> Option<Cut> {
        if self.until.is_some_and(|until| offset >= until) {
            self.ended = true;
            return None;
        }
        // A replica without the end of the log was elected leader, and new records were written
        // since. librdkafka asks the leader where its log diverges from the old one, and continues
        // from there.
        if !self.read.take(offset, epoch) {
            return Some(Cut::At(offset));
        }
        match self.sequence.observe(offset) {
            Step::Next => {}
            Step::Gap { from } => self.find_loss(from..offset),
            // After a rebalance, librdkafka fetches queued records again. The last record may then
            // be delivered twice.
            Step::Behind => return self.truncated(),
        }
        self.served_by(broker);
        match message {
            Some(message) => self.builder.push(message),
            None => {
                self.engine.metrics.filtered.inc();
                self.builder.pass_over(offset);
            }
        }
        None
    }

    /// Notes that everything before `end` was read. Offsets without a delivered record are passed
    /// over: transaction markers, aborted records, and records that were deleted or compacted away.
    fn reach(&mut self, end: i64, broker: i32) -> Option<Cut> {
        // `end_at` requires that the log has reached the limit, so the end of the log ends a
        // bounded read, too.
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

    /// A cut if the log ends before what was read: it was replaced, or it lost its end.
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

    /// The lowest and the highest offset of the log according to the last fetch response; negative
    /// if unknown.
    pub fn watermarks(&self) -> (i64, i64) {
        native::watermarks(self.consumer.client(), &self.topic, self.partition).unwrap_or((-1, -1))
    }

    /// Logs transient errors; librdkafka recovers from them automatically. Records that cannot be
    /// decoded are an error that stops the engine, because they would be skipped otherwise.
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
