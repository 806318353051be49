//! Reads the queue of one partition.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::context::TaskContext;
use super::cursor::Cursor;
use super::gatherer::{self, Gatherer, Observed, Origin, Watermarks};
use crate::batch::Gathered;
use crate::extent::{Cut, Extent};
use crate::log_id::LOG_CHECK_INTERVAL;
use crate::native::{Event, Fetched, PartitionQueue};
use crate::turns::Turn;
use crate::{Config, Error, filter, native};

/// Reads a partition in order. It skips records that are fetched twice and detects lost ones.
pub(crate) struct Reader {
    ctx: Arc<TaskContext>,
    queue: PartitionQueue,
    nonempty: Arc<Notify>,
    gatherer: Gatherer,
    /// The name of the log that is being read.
    log: Arc<str>,
    /// When reading began; `None` after the first answer to a fetch.
    unanswered_since: Option<Instant>,
}

/// The result of reading.
pub(crate) enum Read {
    /// The records for a batch.
    Records(Gathered, Origin),
    /// There was nothing to read for [`LOG_CHECK_INTERVAL`].
    Idle,
    /// The turn is over, and there is nothing to read.
    TurnOver,
    /// The log was rewritten before the position: it lost its end or was replaced.
    Rewritten(Cut),
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
    Rewritten(Cut),
}

impl Reader {
    /// Splits the partition's queue from the main queue. Returns `None` if librdkafka does not
    /// accept the topic's name. Reading ends before the offset `until`, if it is given, which must
    /// not be beyond the end of the log.
    pub fn split(ctx: Arc<TaskContext>, until: Option<i64>) -> Option<Self> {
        let nonempty = Arc::new(Notify::new());
        let queue = PartitionQueue::split(&ctx.consumer, &ctx.topic, ctx.number, nonempty.clone())?;
        let Config { batch_records_max, batch_bytes_max, .. } = ctx.engine.config;
        Some(Self {
            ctx,
            queue,
            nonempty,
            gatherer: Gatherer::new(batch_records_max, batch_bytes_max, until),
            log: Arc::default(),
            unanswered_since: None,
        })
    }

    /// The time since reading began, as long as no fetch was answered; zero after that.
    pub fn unanswered_for(&self) -> Duration {
        self.unanswered_since.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// How far the log was read.
    pub fn read(&self) -> Extent {
        self.gatherer.read()
    }

    /// Whether everything before the limit was read.
    pub fn has_ended(&self) -> bool {
        self.gatherer.has_ended()
    }

    /// Continues reading at the cursor, to which the client has been made to seek.
    pub fn begin(&mut self, cursor: &Cursor) {
        self.log = cursor.log.name.clone();
        self.unanswered_since = Some(Instant::now());
        self.gatherer.begin(cursor.start, cursor.read_from, cursor.read);
    }

    /// Frees what was fetched, after the partition was paused. librdkafka drops outdated events
    /// only when the queue is polled.
    pub fn discard(&mut self) {
        self.gatherer.clear();
        while self.queue.poll(|_| false).is_some() {}
        self.queue.release();
    }

    /// The records of the next batch. Waits for the first record as long as the turn lasts, then
    /// for more records for `batch_wait` unless the batch is full.
    pub async fn next(&mut self, turn: &Turn) -> Result<Read, Error> {
        let mut batch_deadline: Option<Instant> = None;
        loop {
            if self.ctx.stop.is_cancelled() {
                return Ok(Read::Stopped);
            }
            match self.drain()? {
                Drained::Rewritten(cut) => return Ok(Read::Rewritten(cut)),
                Drained::Empty if self.gatherer.is_empty() => tokio::select! {
                    () = self.ctx.stop.cancelled() => {}
                    () = self.nonempty.notified() => {}
                    () = turn.over() => return Ok(Read::TurnOver),
                    () = tokio::time::sleep(LOG_CHECK_INTERVAL) => return Ok(Read::Idle),
                },
                Drained::Empty => {
                    let wait = self.ctx.engine.config.batch_wait;
                    let deadline = *batch_deadline.get_or_insert_with(|| Instant::now() + wait);
                    tokio::select! {
                        biased;
                        () = self.nonempty.notified() => {}
                        () = self.ctx.stop.cancelled() => {}
                        () = tokio::time::sleep_until(deadline) => {
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
        let (gathered, origin) = self.gatherer.take()?;
        let timestamps = gathered.records.iter().filter_map(|message| message.timestamp_ms);
        let TaskContext { engine, topic, number, .. } = &*self.ctx;
        engine.remember(topic, *number, &self.log, self.gatherer.read(), timestamps.max());
        Some(Read::Records(gathered, origin))
    }

    /// Takes the queued events, up to a full batch. This is the hot path: it does not await and
    /// takes no lock of the engine.
    fn drain(&mut self) -> Result<Drained, Error> {
        while !self.gatherer.is_full() {
            if self.gatherer.has_ended() {
                return Ok(Drained::Ended);
            }
            // The filters run on the record in librdkafka's buffer, so that only records that pass
            // are copied.
            let filters = &self.ctx.engine.config.filters;
            let polled = self.queue.poll(|record| filter::pass(filters, record));
            let Some(Fetched { event, broker, epoch }) = polled else { return Ok(Drained::Empty) };
            if !matches!(event, Event::Failed(_)) {
                self.unanswered_since = None;
            }
            let ctx = &self.ctx;
            let cut = match event {
                Event::Record { offset, message } => {
                    let record = gatherer::Fetched { offset, message, broker, epoch };
                    match self.gatherer.observe(record, || watermarks(ctx)) {
                        Observed::Rewritten(cut) => Some(cut),
                        Observed::Filtered => {
                            ctx.engine.metrics.filtered.inc();
                            None
                        }
                        Observed::Added | Observed::Repeated | Observed::AfterEnd => None,
                    }
                }
                Event::End(offset) => self.gatherer.reach(offset, broker, || watermarks(ctx)),
                Event::Failed(code) => {
                    self.check_error(code)?;
                    None
                }
            };
            if let Some(cut) = cut {
                return Ok(Drained::Rewritten(cut));
            }
        }
        Ok(Drained::Full)
    }

    /// The end of the log according to the last fetch response; `None` if unknown.
    pub fn log_end(&self) -> Option<i64> {
        let (_, end) = watermarks(&self.ctx);
        (end >= 0).then_some(end)
    }

    /// Logs transient errors; librdkafka recovers from them automatically. Records that cannot be
    /// decoded are an error that stops the engine, because they would be skipped otherwise.
    fn check_error(&self, code: RDKafkaErrorCode) -> Result<(), Error> {
        let (topic, partition) = (&self.ctx.topic, self.ctx.number);
        let offset = self.gatherer.next_offset();
        match code {
            RDKafkaErrorCode::BadCompression
            | RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::NotImplemented => {
                let mut reason = code.to_string();
                if code == RDKafkaErrorCode::NotImplemented && !cfg!(feature = "zstd") {
                    reason += " (records compressed with zstd need the feature `zstd`)";
                }
                Err(Error::Unreadable { topic: topic.to_string(), partition, offset, reason })
            }
            error => {
                tracing::error!(%topic, partition, offset, %error, "cannot fetch; trying again");
                Ok(())
            }
        }
    }
}

fn watermarks(ctx: &TaskContext) -> Watermarks {
    native::watermarks(ctx.consumer.client(), &ctx.topic, ctx.number).unwrap_or((-1, -1))
}
