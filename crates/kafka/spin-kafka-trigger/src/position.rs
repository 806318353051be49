//! Determines the position from which to read a partition.

use std::sync::Arc;
use std::time::Instant;

use rdkafka::consumer::{CommitMode, Consumer as _};

use crate::call::answer;
use crate::extent::Extent;
use crate::log_id::{CUTS_MAX, Log};
use crate::partition::{Cursor, Halt, Partition};
use crate::questions::ANSWER_TIMEOUT;
use crate::reader::Cut;
use crate::{Failure, Position, Start, offsets};

/// Where to begin reading.
struct Found {
    start: i64,
    /// How far the log was read before.
    read: Extent,
    /// The group has not committed an offset for this partition yet.
    is_new: bool,
}

impl Found {
    /// A start without knowledge of what was read before.
    fn at(start: i64, is_new: bool) -> Self {
        Self { start, read: Extent::up_to(start), is_new }
    }
}

impl Partition {
    /// The position at an assignment, or after the handler's store lost everything that it had of
    /// the log up to `applied`.
    pub async fn locate(&self, applied: Option<i64>) -> Result<Cursor, Halt> {
        self.find_partitions_at_start().await?;
        loop {
            let log_id = self.log_id(Instant::now()).await?;
            let (log, position) = self.stored(&log_id).await?;
            let ends = self.watermarks().await?;
            let found = self.begin(&log, position, ends, applied).await?;
            // The position is valid only if the topic was not replaced in the meantime.
            if self.log_id(Instant::now()).await? != log_id {
                continue;
            }
            if found.is_new {
                self.begin_group(found.start).await?;
            }
            let kept = position != Position::Committed;
            let first = position == Position::Start;
            let read = found.read;
            let found = Cursor { kept, first, read, ..Cursor::at(log, found.start) };
            return self.within(found, None, ends).await;
        }
    }

    /// The handler's position in the topic's log, and the name under which the handler knows that
    /// log.
    pub async fn stored(&self, log_id: &Arc<str>) -> Result<(Log, Position), Halt> {
        for cuts in 0..=CUTS_MAX {
            let log = Log::new(log_id, cuts);
            let position = self.position_in(&log.name).await?;
            if position != Position::Start {
                return Ok((log, position));
            }
        }
        Ok((Log::new(log_id, 0), Position::Start))
    }

    /// The handler's position in the log of this name.
    async fn position_in(&self, log_id: &Arc<str>) -> Result<Position, Halt> {
        let mut backoff = self.backoff();
        loop {
            let room = self.room().await?;
            let (handler, topic) = (self.engine.handler.clone(), self.topic.clone());
            let call = handler.position(topic, log_id.clone(), self.number);
            let answer = tokio::select! {
                () = self.stop.cancelled() => return Err(Halt::Stopped),
                answer = answer(call) => answer,
            };
            drop(room);
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

    /// Where to begin, given the handler's position and the lowest and highest offset of the log.
    async fn begin(
        &self,
        log: &Log,
        position: Position,
        ends: (i64, i64),
        applied: Option<i64>,
    ) -> Result<Found, Halt> {
        match position {
            Position::At(offset) => self.owed(log, offset).await,
            Position::Start => self.rebuild(ends, applied).await,
            Position::Committed => Ok(match self.committed().await? {
                Some(read) => Found { start: read.end, read, is_new: false },
                None => Found::at(self.configured(ends).await?, true),
            }),
        }
    }

    /// Where to begin for a handler without a position: at the configured start, or at the
    /// committed offset if that is lower. Either the handler's store is new, or the group has read
    /// this log before: then the store has lost everything and is rebuilt.
    async fn rebuild(&self, ends: (i64, i64), applied: Option<i64>) -> Result<Found, Halt> {
        let (start, low) = (self.configured(ends).await?, ends.0);
        let Some(committed) = self.committed().await? else {
            return Ok(Found::at(start, true));
        };
        let (from, read) = (start.min(committed.end), applied.unwrap_or(committed.end));
        if from < read {
            self.engine.metrics.rebuilds.inc();
            let (topic, partition) = (&self.topic, self.number);
            tracing::warn!(
                %topic, partition, from, read, low,
                "the handler has no position in this log though the group has read it up to `read`: \
                 its store is new, or lost what it had. It is built again from `from`. What lay \
                 below `low` is no longer in the log"
            );
        }
        Ok(Found::at(from, false))
    }

    /// The handler's position, or the committed offset if that is lower.
    ///
    /// The handler stores its position together with its results, but the engine commits only after
    /// the dead letters are written. A crash between the two would lose the dead letters if reading
    /// began at the handler's position. From the committed offset the handler gets those batches
    /// again, recognizes them, and returns its rejections once more.
    async fn owed(&self, log: &Log, position: i64) -> Result<Found, Halt> {
        let committed = self.committed().await?;
        let history = self.reader.history(&log.name).map(|history| history.read);
        let read = match history.filter(|read| read.end >= position) {
            Some(read) => read,
            None => Extent {
                end: position,
                epoch: committed.map_or(-1, |committed| committed.epoch_at(position)),
            },
        };
        Ok(match committed {
            Some(committed) => Found { start: committed.end.min(position), read, is_new: false },
            None => Found { start: position, read, is_new: true },
        })
    }

    async fn configured(&self, (low, high): (i64, i64)) -> Result<i64, Halt> {
        match self.engine.config.start {
            Start::Earliest => Ok(low),
            Start::Latest if self.is_new() => Ok(low),
            Start::Latest => Ok(high),
            Start::Timestamp(ms) => Ok(self.written_at(ms).await?.unwrap_or(high)),
        }
    }

    /// Determines how many partitions the topic had when the group began to read it.
    async fn find_partitions_at_start(&self) -> Result<(), Halt> {
        if self.engine.config.start != Start::Latest || self.partitions_at_start.get().is_some() {
            return Ok(());
        }
        let topic = self.topic.clone();
        let found = self
            .ask("partitions", move |consumer| {
                let now = offsets::partitions(consumer, &topic, ANSWER_TIMEOUT)?;
                let then = offsets::partitions_at_start(consumer, &topic, now, ANSWER_TIMEOUT)?;
                Ok(then.unwrap_or(now))
            })
            .await?;
        self.partitions_at_start.get_or_init(|| found);
        Ok(())
    }

    /// Whether the partition was added to the topic after the group began to read it.
    fn is_new(&self) -> bool {
        self.partitions_at_start.get().is_some_and(|partitions| self.number >= *partitions)
    }

    /// Sets the group's first position of this partition. It is committed before anything is read:
    /// otherwise a member that begins at the end of the log would, after a restart, skip the
    /// records written in between.
    async fn begin_group(&self, start: i64) -> Result<(), Halt> {
        let first = self.offset_to_commit(start);
        self.ask("first commit", move |consumer| consumer.commit(&first.clone()?, CommitMode::Sync))
            .await
    }

    /// Compares a position with the log. Records below the log's start are gone; a position beyond
    /// its end means that the log has lost its end.
    pub async fn within(
        &self,
        mut cursor: Cursor,
        cut: Option<Cut>,
        (low, high): (i64, i64),
    ) -> Result<Cursor, Halt> {
        if let Some(from) = self.parted(&cursor, cut, (low, high)).await? {
            cursor = self.cut(cursor, from)?;
        }
        let (topic, partition) = (&self.topic, self.number);
        if cursor.start < low {
            self.engine.report_loss(topic, partition, cursor.start, low);
        }
        cursor.read_from = cursor.start.max(low);
        self.standing.heard(high, high);
        let (start, log_id) = (cursor.start, &cursor.log.name);
        tracing::info!(%topic, partition, %log_id, start, low, high, "reading");
        Ok(cursor)
    }
}
