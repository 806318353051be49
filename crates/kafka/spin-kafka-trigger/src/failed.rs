//! Handles records that cannot be applied.

use std::fmt;
use std::sync::atomic::Ordering;

use crate::letter::Letter;
use crate::partition::{Halt, Partition};
use crate::refusal::advice;
use crate::{Batch, Error, FailedRecords, Rejection};

/// Why a record was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// The handler rejected the record.
    Rejected,
    /// The handler asked for retries until the attempts were used up.
    Retries,
    /// The handler trapped on the record.
    Trap,
    /// The handler did not answer before its deadline.
    Deadline,
    /// The handler exceeded its memory limit.
    Memory,
}

impl fmt::Display for FailureClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            FailureClass::Rejected => "rejected",
            FailureClass::Retries => "retries",
            FailureClass::Trap => "trap",
            FailureClass::Deadline => "deadline",
            FailureClass::Memory => "memory",
        })
    }
}

/// Why an attempt failed permanently.
#[derive(Debug)]
pub(crate) struct Blame {
    pub class: FailureClass,
    pub reason: String,
}

impl Partition {
    /// Gives up the only record of a batch.
    pub async fn condemn(&self, batch: &Batch, failures: u32, blame: &Blame) -> Result<(), Halt> {
        let Some(record) = batch.messages.first() else { return Ok(()) };
        self.engine.metrics.poison.inc();
        let in_a_row = self.poison_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        // This many consecutive failures indicate that the handler is broken, not the records.
        if in_a_row > self.engine.config.poison_in_a_row_max {
            let reason = format!(
                "{in_a_row} records in a row broke the handler; the last: {}",
                blame.reason
            );
            return Err(self.poison(record.offset, blame.class, &reason));
        }
        let Blame { class, reason } = blame;
        self.give_up(vec![Letter { batch, record, class: *class, attempts: failures, reason }])
            .await
    }

    /// Gives up the records that the handler rejected.
    pub async fn reject(&self, batch: &Batch, rejections: &[Rejection]) -> Result<(), Halt> {
        let mut letters = Vec::with_capacity(rejections.len());
        for Rejection { offset, reason } in rejections {
            let Ok(at) = batch.messages.binary_search_by_key(offset, |message| message.offset)
            else {
                let reason = format!(
                    "the handler rejects offset {offset}, which is not in the batch {}..{}",
                    batch.start, batch.end
                );
                return Err(self.fault(batch.start, reason));
            };
            let class = FailureClass::Rejected;
            let letter = |record| Letter { batch, record, class, attempts: 1, reason };
            letters.extend(batch.messages.get(at).map(letter));
        }
        self.engine.metrics.rejections.inc_by(rejections.len() as u64);
        self.give_up(letters).await
    }

    async fn give_up(&self, letters: Vec<Letter<'_>>) -> Result<(), Halt> {
        for Letter { batch, record, class, attempts, reason } in &letters {
            let (topic, partition, offset) = (&batch.topic, batch.partition, record.offset);
            tracing::warn!(%topic, partition, offset, %class, attempts, reason, "record given up");
        }
        match (self.engine.config.failed_records, letters.first()) {
            (_, None) => Ok(()),
            (FailedRecords::Stop, Some(first)) => {
                Err(self.poison(first.record.offset, first.class, first.reason))
            }
            (FailedRecords::Skip, _) => {
                self.engine.metrics.skipped.inc_by(letters.len() as u64);
                Ok(())
            }
            (FailedRecords::DeadLetter, _) => self.write_dead_letters(letters).await,
        }
    }

    /// Writes the letters. If the broker does not accept them, an operator has to fix the cause:
    /// the partition waits, logs the cause, and continues after the letters are written.
    async fn write_dead_letters(&self, mut letters: Vec<Letter<'_>>) -> Result<(), Halt> {
        let mut backoff = self.backoff();
        loop {
            let written = letters.len();
            let Err((left, error)) = self.engine.dead_letters.send(letters).await else {
                self.engine.metrics.dead_letters.inc_by(written as u64);
                return Ok(());
            };
            let metrics = &self.engine.metrics;
            metrics.dead_letters.inc_by((written - left.len()) as u64);
            metrics.dead_letter_failures.inc();
            letters = left;
            let pause = backoff.next();
            tracing::error!(
                topic = %self.topic,
                partition = self.number,
                dead_letter_topic = %self.engine.config.dead_letter_topic(&self.topic),
                letters = letters.len(),
                pause_ms = pause.as_millis(),
                %error,
                advice = advice(&error),
                "dead letters cannot be written; the partition waits"
            );
            self.pause(pause).await?;
        }
    }

    fn poison(&self, offset: i64, class: FailureClass, reason: &str) -> Halt {
        Halt::Failed(Error::Poison {
            topic: self.topic.to_string(),
            partition: self.number,
            offset,
            class,
            reason: reason.into(),
        })
    }
}
