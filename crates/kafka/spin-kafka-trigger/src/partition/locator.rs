//! Determines the position from which to read a partition.

use std::sync::Arc;
use std::time::Instant;

use super::context::{TaskContext, TaskEnd};
use super::cursor::Cursor;
use super::handler_calls::HandlerCalls;
use super::log_check::LogCheck;
use super::offset_store::OffsetStore;
use crate::beginning::{self, Beginning, Comparison, Configured, Known};
use crate::engine::History;
use crate::extent::{Cut, Extent};
use crate::log_id::{CUTS_MAX, Log};
use crate::query::ANSWER_TIMEOUT;
use crate::{Position, Start, offsets};

/// How long before the newest record that was read the lost end of a log may begin, in
/// milliseconds.
const CUT_MARGIN_MS: i64 = 60_000;

/// Determines the position from which to read a partition.
pub(crate) struct Locator {
    ctx: Arc<TaskContext>,
    calls: Arc<HandlerCalls>,
    log_check: Arc<LogCheck>,
    offsets: Arc<OffsetStore>,
}

impl Locator {
    pub fn new(
        ctx: Arc<TaskContext>,
        calls: Arc<HandlerCalls>,
        log_check: Arc<LogCheck>,
        offsets: Arc<OffsetStore>,
    ) -> Self {
        Self { ctx, calls, log_check, offsets }
    }

    /// The position at an assignment, or after the handler's store lost everything that it had of
    /// the log up to `applied`. `read` is how far the log was read.
    pub async fn initial_position(
        &self,
        applied: Option<i64>,
        read: Extent,
    ) -> Result<Cursor, TaskEnd> {
        self.find_partitions_at_start().await?;
        loop {
            let log_id = self.log_check.log_id(Instant::now()).await?;
            let (log, stored) = self.stored_position(&log_id).await?;
            if stored != Position::Committed && self.ctx.engine.config.is_transactional() {
                let reason = "a handler that returns records must not keep its position, because \
                              the offset is committed together with the records";
                return Err(self.ctx.handler_error(-1, reason));
            }
            if let (Position::Adopted, Some(applied)) = (stored, applied) {
                return Err(self.adopted_results_lost(applied));
            }
            let watermarks = self.ctx.watermarks().await?;
            let beginning = self.beginning(&log, stored, applied, watermarks).await?;
            // The position is valid only if the topic was not replaced in the meantime.
            if self.log_check.log_id(Instant::now()).await? != log_id {
                continue;
            }
            if beginning.is_new {
                // The group's first position is committed before anything is read: otherwise a
                // member that begins at the end of the log would, after a restart, skip the records
                // written in between.
                self.offsets.commit(beginning.start, read).await?;
            }
            let cursor = Cursor {
                keeps_position: stored != Position::Committed,
                expected_position: stored.offset(),
                read: beginning.read,
                ..Cursor::at(log, beginning.start)
            };
            return self.compare_with_log(cursor, None, watermarks).await;
        }
    }

    /// The position after the log was rewritten or replaced: in a new log its beginning; in the
    /// same log the offset from which it was rewritten.
    pub async fn relocate(&self, cursor: &mut Cursor, cut: Option<Cut>) -> Result<(), TaskEnd> {
        loop {
            let log_id = self.log_check.log_id(Instant::now()).await?;
            let is_replaced = log_id != cursor.log.id;
            let replaced = if is_replaced {
                self.report_replaced(cursor, &log_id)?;
                Some(self.stored_position(&log_id).await?)
            } else {
                None
            };
            let watermarks = self.ctx.watermarks().await?;
            if self.log_check.log_id(Instant::now()).await? != log_id {
                continue;
            }
            let found = match replaced {
                Some((log, position)) => {
                    let (low, _) = watermarks;
                    let (keeps_position, expected_position) =
                        (cursor.keeps_position, position.offset());
                    let start = expected_position.unwrap_or(low);
                    Cursor { keeps_position, expected_position, ..Cursor::at(log, start) }
                }
                None => Cursor { checked: Instant::now(), ..cursor.clone() },
            };
            let cut = cut.filter(|_| !is_replaced);
            *cursor = self.compare_with_log(found, cut, watermarks).await?;
            return Ok(());
        }
    }

    /// The handler's position in the topic's log, and the name under which the handler identifies
    /// that log.
    pub async fn stored_position(&self, log_id: &Arc<str>) -> Result<(Log, Position), TaskEnd> {
        for cuts in 0..=CUTS_MAX {
            let log = Log::new(log_id, cuts);
            let position = self.calls.position(&log.name).await?;
            if position != Position::Start {
                return Ok((log, position));
            }
        }
        Ok((Log::new(log_id, 0), Position::Start))
    }

    /// Where to begin, given the handler's position.
    async fn beginning(
        &self,
        log: &Log,
        stored: Position,
        applied: Option<i64>,
        watermarks: (i64, i64),
    ) -> Result<Beginning, TaskEnd> {
        let mut known = Known {
            stored,
            committed: self.ctx.committed().await?,
            history: self.history(log).map(|history| history.read),
            applied,
            configured: None,
        };
        if (known.stored, known.committed) == (Position::Adopted, None) {
            self.check_adopted().await?;
        }
        let beginning = loop {
            match known.beginning() {
                Some(beginning) => break beginning,
                None => known.configured = Some(self.configured(watermarks).await?),
            }
        };
        if let Some(read) = beginning.rebuilt_to {
            self.ctx.engine.metrics.rebuilds.inc();
            let (topic, partition) = (&self.ctx.topic, self.ctx.number);
            let (from, (low, _)) = (beginning.start, watermarks);
            tracing::warn!(
                %topic, partition, from, read, low,
                "the handler has no position in this log, but the group has read it up to `read`: \
                 the handler's store is new, or it lost its contents. It is rebuilt from `from`. \
                 Offsets below `low` are no longer in the log"
            );
        }
        Ok(beginning)
    }

    /// Fails if the group has committed nothing for the topic: then the results that the handler
    /// continues are not those of this group.
    async fn check_adopted(&self) -> Result<(), TaskEnd> {
        let topic = self.ctx.topic.clone();
        let query = move |consumer: &crate::consumer::Consumer| {
            let count = offsets::partitions(consumer, &topic, ANSWER_TIMEOUT)?;
            offsets::has_committed(consumer, &topic, count, ANSWER_TIMEOUT)
        };
        if self.ctx.query("committed offsets", query).await? {
            return Ok(());
        }
        let (group, topic) = (&self.ctx.engine.config.group, &self.ctx.topic);
        let reason = format!(
            "the handler continues the results of another program, but the group `{group}` has \
             committed no offset of the topic `{topic}`: use the group of that program. Kafka \
             deletes the offsets of a group without members after `offsets.retention.minutes`"
        );
        Err(self.ctx.handler_error(-1, reason))
    }

    /// The error after the store lost what the handler applied up to `applied` in addition to the
    /// results of another program. The committed offset does not show what is missing, so reading must
    /// not continue there.
    fn adopted_results_lost(&self, applied: i64) -> TaskEnd {
        let reason = format!(
            "the handler's store continues the results of another program, and lost its position, \
             which was {applied}: records before {applied} may be missing from the results, from the \
             offset on at which the results were continued. Restore a copy of the store that has \
             the position. A restart without it begins at the committed offset"
        );
        self.ctx.handler_error(applied, reason)
    }

    /// The offset that the setting `start` selects.
    async fn configured(&self, (low, high): (i64, i64)) -> Result<i64, TaskEnd> {
        let partitions_at_start = self.offsets.partitions_at_start.get().copied();
        let start = self.ctx.engine.config.start;
        match Configured::new(start, self.ctx.number, partitions_at_start, (low, high)) {
            Configured::Offset(offset) => Ok(offset),
            Configured::WrittenAt(ms) => Ok(self.ctx.written_at(ms).await?.unwrap_or(high)),
        }
    }

    /// Determines how many partitions the topic had when the group began to read it.
    async fn find_partitions_at_start(&self) -> Result<(), TaskEnd> {
        let partitions_at_start = &self.offsets.partitions_at_start;
        if self.ctx.engine.config.start != Start::Latest || partitions_at_start.get().is_some() {
            return Ok(());
        }
        let topic = self.ctx.topic.clone();
        let found = self
            .ctx
            .query("partitions", move |consumer| {
                let now = offsets::partitions(consumer, &topic, ANSWER_TIMEOUT)?;
                let then = offsets::partitions_at_start(consumer, &topic, now, ANSWER_TIMEOUT)?;
                Ok(then.unwrap_or(now))
            })
            .await?;
        partitions_at_start.get_or_init(|| found);
        Ok(())
    }

    /// Compares a position with the log. Records below the log's start are lost. If the log was
    /// rewritten below the position, reading continues from there.
    async fn compare_with_log(
        &self,
        mut cursor: Cursor,
        cut: Option<Cut>,
        (low, high): (i64, i64),
    ) -> Result<Cursor, TaskEnd> {
        match Comparison::new(cursor.read, cut, high) {
            Comparison::Same => {}
            Comparison::RewrittenFrom(from) => cursor = self.after_cut(cursor, from)?,
            Comparison::Shortened => {
                let written = self.written_before_the_cut(&cursor.log).await?;
                let from = beginning::reread_from(written, cursor.start, (low, high));
                cursor = self.after_cut(cursor, from)?;
            }
        }
        let (topic, partition) = (&self.ctx.topic, self.ctx.number);
        if let Some(lost) = beginning::lost(cursor.start, low) {
            self.ctx.engine.report_loss(topic, partition, lost.start, lost.end);
        }
        cursor.read_from = cursor.start.max(low);
        self.offsets.status.set_log_end(high, high);
        let (start, log_id) = (cursor.start, &cursor.log.name);
        tracing::info!(%topic, partition, %log_id, start, low, high, "reading");
        Ok(cursor)
    }

    /// The first record in the log that was written shortly before the newest record that was read,
    /// or later. The timestamps are used with a margin: a record that is delivered twice is
    /// recognized by its idempotency key, but a record that is left out is lost.
    async fn written_before_the_cut(&self, log: &Log) -> Result<Option<i64>, TaskEnd> {
        match self.history(log).and_then(|history| history.newest_ms) {
            Some(newest_ms) => self.ctx.written_at(newest_ms.saturating_sub(CUT_MARGIN_MS)).await,
            None => Ok(None),
        }
    }

    /// A cursor for the same log after it lost its end at `from` and was rewritten from there.
    fn after_cut(&self, mut cursor: Cursor, from: i64) -> Result<Cursor, TaskEnd> {
        let (topic, partition, position) = (&self.ctx.topic, self.ctx.number, cursor.read.end);
        if cursor.keeps_position {
            let cut = cursor.log.cut().ok_or_else(|| {
                let reason = format!("the log lost its end for the {}th time", CUTS_MAX + 1);
                self.ctx.handler_error(position, reason)
            })?;
            (cursor.log, cursor.expected_position) = (cut, None);
        }
        tracing::error!(
            %topic, partition, from, position,
            "the brokers lost the end of the log: a replica without it was elected, or a disk is \
             older. What was applied before `position` stays; what was written since is read from \
             `from`"
        );
        (cursor.start, cursor.read_from, cursor.checked) = (from, from, Instant::now());
        cursor.read.end = from;
        let lost = position.saturating_sub(from).unsigned_abs();
        self.ctx.engine.metrics.records_lost.inc_by(lost);
        Ok(cursor)
    }

    /// Reports a topic that was deleted and created again. Fails if a range of it is replayed.
    fn report_replaced(&self, cursor: &Cursor, log_id: &Arc<str>) -> Result<(), TaskEnd> {
        if self.ctx.is_replay {
            let reason = "the topic was deleted and created again while it was replayed";
            return Err(self.ctx.handler_error(cursor.start, reason));
        }
        let (topic, partition, old) = (&self.ctx.topic, self.ctx.number, &cursor.log.id);
        tracing::warn!(%topic, partition, %old, new = %log_id, "the topic was replaced");
        Ok(())
    }

    /// What this process has read of the log.
    fn history(&self, log: &Log) -> Option<History> {
        self.ctx.engine.history(&self.ctx.topic, self.ctx.number, &log.name)
    }
}
