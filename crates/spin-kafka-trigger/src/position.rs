//! Where to read a partition from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use crate::backoff::Backoff;
use crate::call::answer;
use crate::group::Consumer;
use crate::log_id::{CUTS_MAX, Log};
use crate::partition::{Cursor, Halt, Partition, Turned};
use crate::reader::{Cut, Origin};
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

/// The pause after a broker that served records did not confirm their log.
const CONFIRM_PAUSE: Duration = Duration::from_secs(1);
/// How long before the newest record that was read a log's end may have been lost.
const CUT_MARGIN_MS: i64 = 60_000;
/// The other partitions' answers about a topic are good for this long when nothing is read.
const ASKED_RECENTLY: Duration = Duration::from_secs(4);

/// Where to begin.
struct Found {
    start: i64,
    /// The group has no offset here yet.
    is_new: bool,
}

/// A question to the cluster that is asked until there is an answer.
struct Patience {
    what: &'static str,
    backoff: Backoff,
}

impl Patience {
    fn new(what: &'static str) -> Self {
        Self { what, backoff: Backoff::new(ASK_BACKOFF, ASK_BACKOFF_MAX) }
    }
}

impl Partition {
    /// The position at an assignment, or after the handler's store has lost everything that it
    /// had of the log up to `applied`.
    pub async fn locate(&self, applied: Option<i64>) -> Result<Cursor, Halt> {
        self.find_partitions_at_start().await?;
        loop {
            let log_id = self.log_id(Instant::now()).await?;
            let (log, position) = self.stored(&log_id).await?;
            let ends = self.watermarks().await?;
            let found = self.begin(position, ends, applied).await?;
            // What was found belongs to the log only if the topic is still the same one.
            if self.log_id(Instant::now()).await? != log_id {
                continue;
            }
            if found.is_new {
                self.begin_group(found.start).await?;
            }
            let kept = position != Position::Committed;
            let first = position == Position::Start;
            let found = Cursor { kept, first, ..Cursor::at(log, found.start) };
            return self.within(found, None, ends).await;
        }
    }

    /// The position after the log went back: in a new log its beginning, in the same log the
    /// offset from which it was written anew.
    pub async fn relocate(&self, cursor: &mut Cursor, cut: Cut) -> Result<Turned, Halt> {
        loop {
            let log_id = self.log_id(Instant::now()).await?;
            let replaced = log_id != cursor.log.id;
            let found = if replaced {
                self.replaced(cursor, &log_id)?;
                Some(self.stored(&log_id).await?)
            } else {
                None
            };
            let ends = self.watermarks().await?;
            if self.log_id(Instant::now()).await? != log_id {
                continue;
            }
            let found = match found {
                Some((log, position)) => {
                    let start = if let Position::At(offset) = position { offset } else { ends.0 };
                    let first = position == Position::Start;
                    Cursor { kept: cursor.kept, first, ..Cursor::at(log, start) }
                }
                None => Cursor { checked: Instant::now(), ..cursor.clone() },
            };
            let cut = cut.filter(|_| !replaced);
            *cursor = self.within(found, cut, ends).await?;
            return Ok(Turned::Moved);
        }
    }

    /// The offset before `start` from which the log was written anew, if it was.
    ///
    /// The records themselves tell it, unless the brokers forgot with the log's end who had led
    /// it. Then the records' times must do, with a margin: what comes twice is recognized by its
    /// idempotency key, what is left out is lost.
    async fn parted(
        &self,
        start: i64,
        cut: Cut,
        (low, high): (i64, i64),
    ) -> Result<Option<i64>, Halt> {
        if cut.is_some() || high >= start {
            return Ok(cut.filter(|from| *from < start));
        }
        let written = match self.reader.newest_ms() {
            Some(newest_ms) => self.written_at(newest_ms.saturating_sub(CUT_MARGIN_MS)).await?,
            None => None,
        };
        Ok(Some(written.unwrap_or(high).clamp(low, high)))
    }

    /// The same log, which lost its end at `from` and was written anew from there.
    fn cut(&self, mut cursor: Cursor, from: i64) -> Result<Cursor, Halt> {
        let (topic, partition, position) = (&self.topic, self.number, cursor.start);
        if cursor.kept {
            let cut = cursor.log.cut().ok_or_else(|| {
                let reason = format!("the log lost its end for the {}th time", CUTS_MAX + 1);
                self.fault(position, reason)
            })?;
            (cursor.log, cursor.first) = (cut, true);
        }
        tracing::error!(
            %topic, partition, from, position,
            "the brokers lost the end of the log: a replica without it was elected, or a disk is \
             older. What was applied up to `position` stays; what was written since is read from \
             `from`"
        );
        (cursor.start, cursor.read_from, cursor.checked) = (from, from, Instant::now());
        self.engine.metrics.records_lost.inc_by(position.saturating_sub(from).unsigned_abs());
        Ok(cursor)
    }

    /// The topic is another one than it was.
    fn replaced(&self, cursor: &Cursor, log_id: &Arc<str>) -> Result<(), Halt> {
        if self.reader.is_bounded() {
            let reason = "the topic was deleted and created again while it was replayed";
            return Err(self.fault(cursor.start, reason));
        }
        let (topic, partition, old) = (&self.topic, self.number, &cursor.log.id);
        tracing::warn!(%topic, partition, %old, new = %log_id, "the topic was replaced");
        Ok(())
    }

    /// Whether records of this origin lie in the log that the cursor names. Every broker that
    /// served them is asked after they were fetched; if one does not answer, nothing is known,
    /// and they must be fetched again.
    pub async fn is_from(&self, cursor: &mut Cursor, origin: &Origin) -> Result<bool, Halt> {
        let fetched = Instant::now();
        for broker in &origin.brokers {
            match self.asked_of(Some(*broker), fetched).await? {
                Ok(log_id) if log_id == cursor.log.id => {}
                Ok(_) => return Ok(false),
                Err(error) => {
                    let (topic, partition) = (&self.topic, self.number);
                    tracing::warn!(
                        %topic, partition, broker, %error,
                        "the broker did not confirm which log the records are from; reading them \
                         again"
                    );
                    self.pause(CONFIRM_PAUSE).await?;
                    return Ok(false);
                }
            }
        }
        cursor.checked = fetched;
        Ok(true)
    }

    /// Whether the topic is another one than it was. A cluster that does not answer is asked
    /// again with the next batch.
    pub async fn log_replaced(&self, cursor: &mut Cursor) -> bool {
        // Other partitions of the topic may have asked already.
        let not_before = cursor.checked + ASKED_RECENTLY;
        match self.asked_of(None, not_before).await {
            Ok(Ok(log_id)) => {
                cursor.checked = Instant::now();
                log_id != cursor.log.id
            }
            _ => false,
        }
    }

    /// The topic's log id according to this broker, or any.
    async fn asked_of(
        &self,
        broker: Option<i32>,
        not_before: Instant,
    ) -> Result<KafkaResult<Arc<str>>, Halt> {
        let ids = &self.engine.log_ids;
        tokio::select! {
            () = self.stop.cancelled() => Err(Halt::Stopped),
            answer = ids.get(&self.topic, broker, not_before) => Ok(answer),
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

    /// The handler's position in the topic's log, and by which name it knows that.
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

    /// Where to begin, given the handler's position and the log's ends.
    async fn begin(
        &self,
        position: Position,
        ends: (i64, i64),
        applied: Option<i64>,
    ) -> Result<Found, Halt> {
        match position {
            Position::At(offset) => self.owed(offset).await,
            Position::Start => self.rebuild(ends, applied).await,
            Position::Committed => Ok(match self.committed().await? {
                Some(start) => Found { start, is_new: false },
                None => Found { start: self.configured(ends).await?, is_new: true },
            }),
        }
    }

    /// From the configured start, for a handler without a position. Its store is new; or, if
    /// the group has read this log before, it has lost everything and is built again.
    async fn rebuild(&self, ends: (i64, i64), applied: Option<i64>) -> Result<Found, Halt> {
        let (start, low) = (self.configured(ends).await?, ends.0);
        let Some(committed) = self.committed().await? else {
            return Ok(Found { start, is_new: true });
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
        Ok(Found { start: from, is_new: false })
    }

    /// From the handler's position; or from the committed offset, if that lies before it.
    ///
    /// The handler moves its position together with its results, the engine commits once the
    /// dead letters are written, too. In between, a crash would lose them: the handler gets
    /// those batches again, knows them, and names the records it refused once more.
    async fn owed(&self, position: i64) -> Result<Found, Halt> {
        Ok(match self.committed().await? {
            Some(committed) => Found { start: committed.min(position), is_new: false },
            None => Found { start: position, is_new: true },
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

    /// Finds out how many partitions the topic had when the group began to read it.
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

    /// Whether the partition was added to the topic after the group had begun to read it.
    fn is_new(&self) -> bool {
        self.partitions_at_start.get().is_some_and(|partitions| self.number >= *partitions)
    }

    /// The group's first position here. It is committed before anything is read: a member
    /// that begins at the end must not skip, after a restart, what came in between.
    async fn begin_group(&self, start: i64) -> Result<(), Halt> {
        let first = self.offset_to_commit(start);
        self.ask("first commit", move |consumer| consumer.commit(&first.clone()?, CommitMode::Sync))
            .await
    }

    /// Holds a position against the log. What lies below the log's start is gone; a position
    /// beyond its end means that the log lost its own.
    async fn within(
        &self,
        mut cursor: Cursor,
        cut: Cut,
        (low, high): (i64, i64),
    ) -> Result<Cursor, Halt> {
        if let Some(from) = self.parted(cursor.start, cut, (low, high)).await? {
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

    /// The offset of the first record that was written at this time or later.
    async fn written_at(&self, timestamp_ms: i64) -> Result<Option<i64>, Halt> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.ask("offset for the time", move |consumer| {
            offsets::written_at(consumer, &topic, partition, timestamp_ms, ANSWER_TIMEOUT)
        })
        .await
    }

    pub async fn log_id(&self, not_before: Instant) -> Result<Arc<str>, Halt> {
        let mut patience = Patience::new("log id");
        loop {
            match self.asked_of(None, not_before).await? {
                Ok(log_id) => return Ok(log_id),
                Err(error) => self.wait(&mut patience, error.to_string()).await?,
            }
        }
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
        let mut patience = Patience::new(what);
        loop {
            let (consumer, question) = (self.consumer.clone(), question.clone());
            let reason = match tokio::task::spawn_blocking(move || question(&consumer)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            self.wait(&mut patience, reason).await?;
        }
    }

    /// Waits before the cluster is asked again.
    async fn wait(&self, patience: &mut Patience, reason: String) -> Result<(), Halt> {
        let Patience { what, backoff } = patience;
        let (topic, partition, pause) = (&self.topic, self.number, backoff.next());
        if backoff.attempts() <= ASKS_QUIET {
            tracing::debug!(%topic, partition, what, reason, "no answer yet; asking again");
        } else {
            tracing::warn!(%topic, partition, what, reason, "no answer yet; asking again");
        }
        self.pause(pause).await
    }
}
