//! Checks whether a partition's records are still in the log under which they are counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, KafkaResult};

use crate::Position;
use crate::coverage::FAILED_QUIET;
use crate::log_id::CUTS_MAX;
use crate::partition::{Cursor, Halt, Partition, Turned};
use crate::questions::Patience;
use crate::reader::{Cut, Origin};

/// How often the topic's id is checked while there is nothing to read. A topic that was deleted and
/// created again is detected after about this time, or with its first record.
pub(crate) const LOG_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The pause after a broker that served records did not confirm the id of their log.
const CONFIRM_PAUSE: Duration = Duration::from_secs(1);
/// How long before the newest record that was read the lost end of a log may begin, in
/// milliseconds.
const CUT_MARGIN_MS: i64 = 60_000;
/// If nothing is read, another partition's answer about the same topic is reused for this long.
const ASKED_RECENTLY: Duration = Duration::from_secs(4);
/// Log message for a failed check of a partition's log.
const NOT_CHECKED: &str = "it is not known whether the topic was deleted and created again";

impl Partition {
    /// The position after the log went back: in a new log its beginning; in the same log the offset
    /// from which it was rewritten.
    pub async fn relocate(&self, cursor: &mut Cursor, cut: Option<Cut>) -> Result<Turned, Halt> {
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

    /// The offset from which the log was rewritten after the cursor had read it; `None` if it was
    /// not.
    ///
    /// The leader epochs of the records show it, unless the brokers have lost the epochs together
    /// with the end of the log. In that case the timestamps of the records are used, with a margin:
    /// a record that is delivered twice is recognized by its idempotency key, but a record that is
    /// left out is lost.
    pub async fn parted(
        &self,
        cursor: &Cursor,
        cut: Option<Cut>,
        (low, high): (i64, i64),
    ) -> Result<Option<i64>, Halt> {
        let end = cursor.read.end;
        match cut {
            Some(Cut::At(from)) => return Ok((from < end).then_some(from)),
            _ if high >= end => return Ok(None),
            // The epochs of the next records will show it.
            None if cursor.read.epoch >= 0 => return Ok(None),
            None | Some(Cut::Unknown) => {}
        }
        let history = self.reader.history(&cursor.log.name);
        let written = match history.and_then(|history| history.newest_ms) {
            Some(newest_ms) => self.written_at(newest_ms.saturating_sub(CUT_MARGIN_MS)).await?,
            None => None,
        };
        Ok(Some(written.unwrap_or(high).min(cursor.start).clamp(low, high)))
    }

    /// A cursor for the same log after it lost its end at `from` and was rewritten from there.
    pub fn cut(&self, mut cursor: Cursor, from: i64) -> Result<Cursor, Halt> {
        let (topic, partition, position) = (&self.topic, self.number, cursor.read.end);
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
             older. What was applied before `position` stays; what was written since is read from \
             `from`"
        );
        (cursor.start, cursor.read_from, cursor.checked) = (from, from, Instant::now());
        cursor.read.end = from;
        self.engine.metrics.records_lost.inc_by(position.saturating_sub(from).unsigned_abs());
        Ok(cursor)
    }

    /// Handles a topic that was deleted and created again.
    fn replaced(&self, cursor: &Cursor, log_id: &Arc<str>) -> Result<(), Halt> {
        if self.reader.is_bounded() {
            let reason = "the topic was deleted and created again while it was replayed";
            return Err(self.fault(cursor.start, reason));
        }
        let (topic, partition, old) = (&self.topic, self.number, &cursor.log.id);
        tracing::warn!(%topic, partition, %old, new = %log_id, "the topic was replaced");
        Ok(())
    }

    /// Whether records of this origin belong to the log that the cursor names. Every broker that
    /// served them is asked after they were fetched. If a broker does not answer, the result is
    /// unknown, and the records must be fetched again.
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

    /// Whether the topic was deleted and created again. If the cluster does not answer, the check
    /// is repeated with the next batch.
    pub async fn log_replaced(&self, cursor: &mut Cursor) -> bool {
        // Another partition of the topic may have asked already.
        let not_before = cursor.checked + ASKED_RECENTLY;
        match self.asked_of(None, not_before).await {
            Ok(Ok(log_id)) => {
                cursor.checked = Instant::now();
                self.log_checks_failed.store(0, Ordering::Relaxed);
                log_id != cursor.log.id
            }
            Ok(Err(error)) => {
                self.count_failed_check(&error);
                false
            }
            Err(_) => false,
        }
    }

    fn count_failed_check(&self, error: &KafkaError) {
        let failed = self.log_checks_failed.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let (topic, partition) = (&self.topic, self.number);
        if failed <= FAILED_QUIET {
            tracing::debug!(%topic, partition, failed, %error, "{NOT_CHECKED}");
        } else {
            tracing::warn!(%topic, partition, failed, %error, "{NOT_CHECKED}");
        }
    }

    /// The topic's log id according to this broker, or to any broker if none is given.
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

    pub async fn log_id(&self, not_before: Instant) -> Result<Arc<str>, Halt> {
        let mut patience = Patience::new("log id");
        loop {
            match self.asked_of(None, not_before).await? {
                Ok(log_id) => return Ok(log_id),
                Err(error) => self.wait(&mut patience, error.to_string()).await?,
            }
        }
    }
}
