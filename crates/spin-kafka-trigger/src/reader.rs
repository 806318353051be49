//! Reads one partition's own queue into batches.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batch::{BatchBuilder, Gathered};
use crate::engine::Engine;
use crate::group::{Consumer, Group};
use crate::sequence::{Sequence, Step};
use crate::turns::Turn;
use crate::{Config, Error, filter, native, record};

/// Reads a partition in order; skips what comes twice, notices what is gone.
pub(crate) struct Reader {
    engine: Arc<Engine>,
    consumer: Arc<Consumer>,
    topic: Arc<str>,
    partition: i32,
    queue: PartitionQueue<Group>,
    nonempty: Arc<Notify>,
    builder: BatchBuilder,
    sequence: Sequence,
    /// Where reading ends, if it does.
    until: Option<i64>,
    ended: bool,
}

/// What reading came to.
pub(crate) enum Read {
    /// What a batch is made of.
    Records(Gathered),
    /// Another partition's turn has come, and there is nothing to read here.
    TurnOver,
    /// The log goes back before the position: it was cut or replaced.
    Truncated,
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
    Truncated,
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
        let mut queue = consumer.split_partition_queue(topic, partition)?;
        let nonempty = Arc::new(Notify::new());
        let wake = nonempty.clone();
        queue.set_nonempty_callback(move || wake.notify_one());
        let Config { batch_records_max, batch_bytes_max, .. } = engine.config;
        Some(Self {
            engine: engine.clone(),
            consumer: consumer.clone(),
            topic: topic.clone(),
            partition,
            queue,
            nonempty,
            builder: BatchBuilder::new(batch_records_max, batch_bytes_max),
            sequence: Sequence::new(0),
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

    /// Whether everything was read.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Reading goes on at `position`, to which the client was made to seek.
    pub fn begin(&mut self, position: i64) {
        self.builder.clear();
        self.sequence = Sequence::new(position);
    }

    /// Frees what was fetched, once the partition is paused. (librdkafka drops what is outdated
    /// when somebody asks for more, not before.)
    pub fn discard(&mut self) {
        self.builder.clear();
        while self.queue.poll(Duration::ZERO).is_some() {}
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
                Drained::Truncated => return Ok(Read::Truncated),
                Drained::Empty if self.builder.is_empty() => tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.nonempty.notified() => {}
                    () = turn.over() => return Ok(Read::TurnOver),
                },
                Drained::Empty => {
                    let wait = self.engine.config.batch_wait();
                    let until = *give_up.get_or_insert_with(|| Instant::now() + wait);
                    tokio::select! {
                        biased;
                        () = self.nonempty.notified() => {}
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep_until(until) => {
                            if let Some(gathered) = self.builder.take() {
                                return Ok(Read::Records(gathered));
                            }
                        }
                    }
                }
                Drained::Ended => {
                    return Ok(self.builder.take().map_or(Read::Ended, Read::Records));
                }
                Drained::Full => {
                    if let Some(gathered) = self.builder.take() {
                        return Ok(Read::Records(gathered));
                    }
                }
            }
        }
    }

    /// Takes what is queued, up to a full batch. No await, no lock of ours, no hop.
    fn drain(&mut self) -> Result<Drained, Error> {
        while !self.builder.is_full() {
            if self.ended {
                return Ok(Drained::Ended);
            }
            let record = match self.queue.poll(Duration::ZERO) {
                None => return Ok(Drained::Empty),
                Some(Ok(record)) => record,
                // Markers may be the last of the log: no record comes after them.
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.ended = self.until.is_some();
                    continue;
                }
                Some(Err(error)) => {
                    self.judge(error)?;
                    continue;
                }
            };
            if self.until.is_some_and(|until| record.offset() >= until) {
                self.ended = true;
                continue;
            }
            match self.sequence.observe(record.offset()) {
                Step::Next => {}
                Step::Gap { from } => {
                    let (log_start, _) = self.watermarks();
                    if let Some((from, to)) = self.sequence.lost(from, log_start) {
                        self.engine.report_loss(&self.topic, self.partition, from, to);
                    }
                }
                // A rebalance makes librdkafka fetch again what it had queued; at worst the
                // last record comes twice. A log that ends before our position is another
                // matter.
                Step::Behind => {
                    let (_, end) = self.watermarks();
                    if (0..self.sequence.next()).contains(&end) {
                        return Ok(Drained::Truncated);
                    }
                    continue;
                }
            }
            let message = record::message(&record);
            if filter::pass(&self.engine.config.filters, &message) {
                self.builder.push(message);
            } else {
                self.engine.metrics.filtered.inc();
                self.builder.pass_over(message.offset);
            }
        }
        Ok(Drained::Full)
    }

    /// The log's start and end as the last fetch told them; negative if unknown.
    pub fn watermarks(&self) -> (i64, i64) {
        native::watermarks(self.consumer.client(), &self.topic, self.partition).unwrap_or((-1, -1))
    }

    /// Faults that pass are logged; librdkafka goes on by itself. Records that cannot be
    /// decoded would be skipped: the engine stops instead.
    fn judge(&self, error: KafkaError) -> Result<(), Error> {
        let (topic, partition) = (&self.topic, self.partition);
        let offset = self.sequence.next();
        match error {
            KafkaError::MessageConsumption(
                code @ (RDKafkaErrorCode::BadCompression
                | RDKafkaErrorCode::BadMessage
                | RDKafkaErrorCode::NotImplemented),
            ) => Err(Error::Unreadable { topic: topic.to_string(), partition, offset, code }),
            error => {
                tracing::error!(%topic, partition, offset, %error, "cannot read; trying on");
                Ok(())
            }
        }
    }
}
