//! Where to read a partition from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use crate::backoff::Backoff;
use crate::call::answer;
use crate::group::Consumer;
use crate::partition::{Cursor, Halt, Partition, Turned};
use crate::{Failure, Position, Start, offsets};

/// How long one question to the cluster may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The first pause after a question without an answer.
const ASK_BACKOFF: Duration = Duration::from_millis(5);
/// The longest.
const ASK_BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Failed questions before the log says more than a debug line: a partition that was only
/// just assigned refuses the first ones.
const ASKS_QUIET: u32 = 6;

impl Partition {
    /// The position at an assignment, or after the handler's store has lost everything that it
    /// had of the log up to `applied`.
    pub async fn locate(&self, applied: Option<i64>) -> Result<Cursor, Halt> {
        let log_id = self.log_id(Instant::now()).await?;
        let position = self.stored(&log_id).await?;
        let (low, high) = self.watermarks().await?;
        let start = match position {
            Position::At(offset) => self.owed(offset).await?,
            Position::Start => self.rebuild(low, high, applied).await?,
            Position::Committed => match self.committed().await? {
                Some(offset) => offset,
                None => self.begin_group(self.configured(low, high).await?).await?,
            },
        };
        let kept = position != Position::Committed;
        let first = position == Position::Start;
        Ok(self.within(Cursor { log_id, kept, first, ..Cursor::at(start) }, low, high))
    }

    /// The position after the log went back: in a new log its beginning, in the same log what
    /// is left of it.
    pub async fn relocate(&self, cursor: &mut Cursor) -> Result<Turned, Halt> {
        let log_id = self.log_id(Instant::now()).await?;
        let mut stored = None;
        if log_id != cursor.log_id {
            let (topic, partition, old) = (&self.topic, self.number, &cursor.log_id);
            tracing::warn!(%topic, partition, %old, new = %log_id, "the topic was replaced");
            stored = Some(self.stored(&log_id).await?);
        }
        let (low, high) = self.watermarks().await?;
        let start = match stored {
            None => cursor.start,
            Some(Position::At(offset)) => offset,
            Some(_) => low,
        };
        let first = stored.map_or(cursor.first, |stored| stored == Position::Start);
        let found = Cursor { log_id, kept: cursor.kept, first, ..Cursor::at(start) };
        *cursor = self.within(found, low, high);
        Ok(Turned::Moved)
    }

    /// Whether the topic is another one than it was. A cluster that does not answer is asked
    /// again with the next batch.
    pub async fn log_replaced(&self, cursor: &mut Cursor) -> bool {
        let (engine, consumer) = (self.engine.clone(), self.consumer.clone());
        let topic = self.topic.clone();
        let asked = tokio::task::spawn_blocking(move || {
            engine.log_ids.get(&consumer, &topic, Instant::now())
        });
        match asked.await {
            Ok(Ok(log_id)) => {
                cursor.checked = Instant::now();
                log_id != cursor.log_id
            }
            _ => false,
        }
    }

    /// Makes the client fetch from `position`. What it fetched before is dropped.
    pub async fn seek(&self, position: i64) -> Result<(), Halt> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.ask("seek", move |consumer| {
            consumer.seek(&topic, partition, Offset::Offset(position), ANSWER_TIMEOUT)
        })
        .await
    }

    /// Stops fetching, and drops what was fetched, until the partition's next turn.
    pub async fn suspend(&self) -> Result<(), Halt> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.ask("pause", move |consumer| {
            let mut paused = TopicPartitionList::new();
            paused.add_partition(&topic, partition);
            consumer.pause(&paused)
        })
        .await
    }

    /// Lets the client fetch; a partition is assigned paused, until its position is known.
    pub async fn resume(&self) -> Result<(), Halt> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.ask("resume", move |consumer| {
            let mut resumed = TopicPartitionList::new();
            resumed.add_partition(&topic, partition);
            consumer.resume(&resumed)
        })
        .await
    }

    /// The handler's word.
    async fn stored(&self, log_id: &Arc<str>) -> Result<Position, Halt> {
        let mut backoff = self.backoff();
        loop {
            let (handler, topic) = (self.engine.handler.clone(), self.topic.clone());
            let call = handler.position(topic, log_id.clone(), self.number);
            let answer = tokio::select! {
                () = self.stop.cancelled() => return Err(Halt::Stopped),
                answer = answer(call) => answer,
            };
            match answer {
                Ok(Position::At(offset)) if offset < 0 => {
                    let reason = format!("the handler's position {offset} is below 0");
                    return Err(self.fault(-1, reason));
                }
                Ok(position) => return Ok(position),
                Err(
                    Failure::Retry(reason)
                    | Failure::Trap(reason)
                    | Failure::Deadline(reason)
                    | Failure::Memory(reason),
                ) => {
                    self.engine.metrics.retries.inc();
                    let (topic, partition, pause) = (&self.topic, self.number, backoff.next());
                    tracing::warn!(%topic, partition, reason, "no position yet; asking again");
                    self.pause(pause).await?;
                }
                Err(Failure::Rewind(to)) => {
                    let reason =
                        format!("the handler answers rewind to {to} where a position is asked");
                    return Err(self.fault(-1, reason));
                }
                Err(Failure::Lost) => {
                    let reason = "the handler answers lost where a position is asked";
                    return Err(self.fault(-1, reason));
                }
                Err(Failure::Fatal(reason)) => return Err(self.fault(-1, reason)),
            }
        }
    }

    /// From the configured start, for a handler without a position. Its store is new; or, if
    /// the group has read this log before, it has lost everything and is built again.
    async fn rebuild(&self, low: i64, high: i64, applied: Option<i64>) -> Result<i64, Halt> {
        let start = self.configured(low, high).await?;
        let Some(committed) = self.committed().await? else {
            return self.begin_group(start).await;
        };
        let (from, read) = (start.min(committed), applied.unwrap_or(committed));
        if from < read {
            self.engine.metrics.rebuilds.inc();
            let (topic, partition) = (&self.topic, self.number);
            tracing::warn!(
                %topic, partition, from, read, low,
                "the handler's store is empty though the log was read up to `read`; it is built \
                 again from `from`. What lay below `low` is no longer in the log"
            );
        }
        Ok(from)
    }

    /// From the handler's position; or from the committed offset, if that lies before it.
    ///
    /// The handler moves its position together with its results, the engine commits once the
    /// dead letters are written, too. In between, a crash would lose them: the handler gets
    /// those batches again, knows them, and names the records it refused once more.
    async fn owed(&self, position: i64) -> Result<i64, Halt> {
        match self.committed().await? {
            Some(committed) => Ok(committed.min(position)),
            None => self.begin_group(position).await,
        }
    }

    async fn configured(&self, low: i64, high: i64) -> Result<i64, Halt> {
        match self.engine.config.start {
            Start::Earliest => Ok(low),
            Start::Latest => Ok(high),
            Start::Timestamp(ms) => Ok(self.written_at(ms).await?.unwrap_or(high)),
        }
    }

    /// The group's first position here. It is committed before anything is read: a member
    /// that begins at the end must not skip, after a restart, what came in between.
    async fn begin_group(&self, start: i64) -> Result<i64, Halt> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.ask("first commit", move |consumer| {
            let mut first = TopicPartitionList::new();
            first.add_partition_offset(&topic, partition, Offset::Offset(start))?;
            consumer.commit(&first, CommitMode::Sync)
        })
        .await?;
        Ok(start)
    }

    /// Holds a position against the log. What lies below the log's start is gone; a position
    /// beyond its end means that the log lost its own.
    fn within(&self, mut cursor: Cursor, low: i64, high: i64) -> Cursor {
        let (topic, partition, start) = (&self.topic, self.number, cursor.start);
        if start < low {
            self.engine.report_loss(topic, partition, start, low);
            cursor.read_from = low;
        } else {
            if start > high {
                self.engine.report_loss(topic, partition, high, start);
                cursor.start = high;
            }
            cursor.read_from = cursor.start;
        }
        self.standing.heard(high);
        let Cursor { log_id, start, .. } = &cursor;
        tracing::info!(%topic, partition, %log_id, start, low, high, "reading");
        cursor
    }

    /// The offset of the first record that was written at this time or later.
    async fn written_at(&self, timestamp_ms: i64) -> Result<Option<i64>, Halt> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.ask("offset for the time", move |consumer| {
            offsets::written_at(consumer, &topic, partition, timestamp_ms, ANSWER_TIMEOUT)
        })
        .await
    }

    pub async fn log_id(&self, not_before: Instant) -> Result<Arc<str>, Halt> {
        let (engine, topic) = (self.engine.clone(), self.topic.clone());
        self.ask("log id", move |consumer| engine.log_ids.get(consumer, &topic, not_before)).await
    }

    async fn watermarks(&self) -> Result<(i64, i64), Halt> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.ask("watermarks", move |consumer| {
            consumer.fetch_watermarks(&topic, partition, ANSWER_TIMEOUT)
        })
        .await
    }

    async fn committed(&self) -> Result<Option<i64>, Halt> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.ask("committed offset", move |consumer| {
            offsets::committed(consumer, &topic, partition, ANSWER_TIMEOUT)
        })
        .await
    }

    /// Asks the cluster until it answers; the handler's partitions elsewhere go on meanwhile.
    async fn ask<T: Send + 'static>(
        &self,
        what: &'static str,
        question: impl Fn(&Consumer) -> KafkaResult<T> + Send + Sync + 'static,
    ) -> Result<T, Halt> {
        let question = Arc::new(question);
        let mut backoff = Backoff::new(ASK_BACKOFF, ASK_BACKOFF_MAX);
        loop {
            let (consumer, question) = (self.consumer.clone(), question.clone());
            let reason = match tokio::task::spawn_blocking(move || question(&consumer)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            let (topic, partition, pause) = (&self.topic, self.number, backoff.next());
            if backoff.attempts() <= ASKS_QUIET {
                tracing::debug!(%topic, partition, what, reason, "no answer yet; asking again");
            } else {
                tracing::warn!(%topic, partition, what, reason, "no answer yet; asking again");
            }
            self.pause(pause).await?;
        }
    }
}
