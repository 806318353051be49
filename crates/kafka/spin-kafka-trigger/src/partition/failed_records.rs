//! Applies the setting `failed_records` to the records that cannot be applied.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::context::{TaskContext, TaskEnd};
use super::handler_calls::FailureCause;
use crate::letter::Letter;
use crate::{Batch, Error, FailedRecords, FailureClass, Rejection};

/// Applies the setting `failed_records` to the records that cannot be applied.
pub(crate) struct FailedRecordPolicy<C> {
    ctx: Arc<TaskContext<C>>,
    /// Number of consecutive poison records, with no record applied in between.
    poison_in_a_row: AtomicU32,
}

impl<C> FailedRecordPolicy<C> {
    pub fn new(ctx: Arc<TaskContext<C>>) -> Self {
        Self { ctx, poison_in_a_row: AtomicU32::new(0) }
    }

    /// Notes that the handler applied this many records of a batch, without those that it rejected
    /// or filtered.
    pub fn applied(&self, records: usize) {
        // A batch without an applied record does not show that the handler can apply records.
        if records > 0 {
            self.poison_in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// The letter for the only record of a batch, with which the handler failed this many times.
    pub fn poison<'a>(
        &self,
        batch: &'a Batch,
        failures: u32,
        cause: &'a FailureCause,
    ) -> Result<Vec<Letter<'a>>, TaskEnd> {
        let Some(record) = batch.records.first() else { return Ok(Vec::new()) };
        let FailureCause { class, reason } = cause;
        let in_a_row = self.poison_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        // This many consecutive failures indicate that the handler is broken, not the records.
        if in_a_row > self.ctx.engine.config.poison_in_a_row_max {
            let reason =
                format!("{in_a_row} records in a row made the handler fail; the last: {reason}");
            return Err(self.poison_error(record.offset, *class, &reason));
        }
        self.unless_stopped(vec![Letter {
            batch,
            record,
            class: *class,
            attempts: failures,
            reason,
        }])
    }

    /// The letters for the records that the handler rejected.
    pub fn rejected<'a>(
        &self,
        batch: &'a Batch,
        rejections: &'a [Rejection],
    ) -> Result<Vec<Letter<'a>>, TaskEnd> {
        let mut letters = Vec::with_capacity(rejections.len());
        for Rejection { offset, reason } in rejections {
            let Ok(at) = batch.records.binary_search_by_key(offset, |message| message.offset)
            else {
                let reason = format!(
                    "the handler rejects offset {offset}, which is not in the batch {}..{}",
                    batch.start, batch.end
                );
                return Err(self.ctx.handler_error(batch.start, reason));
            };
            let class = FailureClass::Rejected;
            let letter = |record| Letter { batch, record, class, attempts: 1, reason };
            letters.extend(batch.records.get(at).map(letter));
        }
        self.unless_stopped(letters)
    }

    /// Fails if `failed_records` is `stop` and there is a letter.
    fn unless_stopped<'a>(&self, letters: Vec<Letter<'a>>) -> Result<Vec<Letter<'a>>, TaskEnd> {
        match (self.ctx.engine.config.failed_records, letters.first()) {
            (FailedRecords::Stop, Some(first)) => {
                self.report(&letters);
                Err(self.poison_error(first.record.offset, first.class, first.reason))
            }
            _ => Ok(letters),
        }
    }

    /// The letters that are to be written according to `failed_records`.
    pub fn to_write<'a>(&self, letters: &[Letter<'a>]) -> Vec<Letter<'a>> {
        match self.ctx.engine.config.failed_records {
            FailedRecords::DeadLetter => letters.to_vec(),
            FailedRecords::Skip | FailedRecords::Stop => Vec::new(),
        }
    }

    /// Logs and counts the records that were given up. To be called once, after the letters are
    /// written: until then the records may be handed over again.
    pub fn report(&self, letters: &[Letter<'_>]) {
        let engine = &self.ctx.engine;
        for Letter { batch, record, class, attempts, reason } in letters {
            let (topic, partition, offset) = (&batch.topic, batch.partition, record.offset);
            tracing::warn!(%topic, partition, offset, %class, attempts, reason, "record given up");
            let counter = match class {
                FailureClass::Rejected => &engine.metrics.rejections,
                _ => &engine.metrics.poison,
            };
            counter.inc();
        }
        if engine.config.failed_records == FailedRecords::Skip {
            engine.metrics.skipped.inc_by(letters.len() as u64);
        }
    }

    /// Writes the letters. If the broker does not accept them, an operator has to fix the cause:
    /// the partition waits, logs the cause, and continues after the letters are written.
    pub async fn write_dead_letters(&self, mut letters: Vec<Letter<'_>>) -> Result<(), TaskEnd> {
        if letters.is_empty() {
            return Ok(());
        }
        let engine = &self.ctx.engine;
        let mut backoff = self.ctx.retry_backoff();
        loop {
            let written = letters.len();
            let Err((left, error)) = engine.dead_letters.send(letters).await else {
                engine.metrics.dead_letters.inc_by(written as u64);
                return Ok(());
            };
            engine.metrics.dead_letters.inc_by((written - left.len()) as u64);
            engine.metrics.dead_letter_failures.inc();
            letters = left;
            let pause = backoff.next_pause();
            tracing::error!(
                topic = %self.ctx.topic,
                partition = self.ctx.number,
                dead_letter_topic = %engine.config.dead_letter_topic_of(&self.ctx.topic),
                letters = letters.len(),
                pause_ms = pause.as_millis(),
                %error,
                advice = error.advice(),
                "dead letters cannot be written; the partition waits"
            );
            self.ctx.pause(pause).await?;
        }
    }

    fn poison_error(&self, offset: i64, class: FailureClass, reason: &str) -> TaskEnd {
        TaskEnd::Failed(Error::Poison {
            topic: self.ctx.topic.to_string(),
            partition: self.ctx.number,
            offset,
            class,
            reason: reason.into(),
        })
    }
}
