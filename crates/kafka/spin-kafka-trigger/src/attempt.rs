//! Hands a batch to the handler and repeats the call until it has a final result.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::SemaphorePermit;

use crate::apply::Part;
use crate::backoff::Backoff;
use crate::call::answer;
use crate::failed::Blame;
use crate::metrics::Metrics;
use crate::partition::{Halt, Partition};
use crate::{Batch, Failure, FailureClass, Rejection};

/// How far a handler's store is behind. The lesser value is further behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Behind {
    /// The store has lost everything.
    Empty,
    /// The store has lost its latest entries; this is its position.
    At(i64),
}

/// The result of handing over a batch.
pub(crate) enum Outcome {
    /// The batch is applied, and the records that the handler rejected are given up.
    Applied,
    /// The handler's store is behind the batch's start.
    Behind(Behind),
    /// The handler fails with this part; it has to be split.
    Broken(Part, Blame),
}

impl Partition {
    /// Hands the part over, and repeats that for as long as the handler asks for a retry and has
    /// retries left.
    pub async fn attempt(&self, part: Part) -> Result<Outcome, Halt> {
        let batch = Arc::new(part.batch);
        let mut backoff = self.backoff();
        let blame = loop {
            let (class, reason) = match self.call(&batch).await? {
                Ok(rejections) => {
                    self.reject(&batch, &rejections).await?;
                    self.applied(&batch);
                    return Ok(Outcome::Applied);
                }
                Err(Failure::Rewind(to)) => return self.rewind(&batch, to).map(Outcome::Behind),
                Err(Failure::Lost) => return self.lost(&batch).map(Outcome::Behind),
                Err(Failure::Fatal(reason)) => return Err(self.fault(batch.start, reason)),
                Err(Failure::Retry(reason)) if !self.is_spent(&backoff) => {
                    self.retry(&batch, &reason, &mut backoff).await?;
                    continue;
                }
                Err(Failure::Retry(reason)) => (FailureClass::Retries, reason),
                Err(Failure::Trap(reason)) => (FailureClass::Trap, reason),
                Err(Failure::Deadline(reason)) => (FailureClass::Deadline, reason),
                Err(Failure::Memory(reason)) => (FailureClass::Memory, reason),
            };
            break Blame { class, reason };
        };
        self.broken(&batch, &blame);
        Ok(Outcome::Broken(Part { batch: Arc::unwrap_or_clone(batch), ..part }, blame))
    }

    /// Makes one call, as soon as fewer than `concurrency_max` calls are running.
    async fn call(&self, batch: &Arc<Batch>) -> Result<Result<Vec<Rejection>, Failure>, Halt> {
        let _room = self.room().await?;
        let metrics = &self.engine.metrics;
        let in_flight = InFlight::new(metrics, batch);
        let begun = Instant::now();
        let answer = answer(self.engine.handler.clone().handle(batch.clone())).await;
        metrics.handler_seconds.observe(begun.elapsed().as_secs_f64());
        in_flight.answered();
        Ok(answer)
    }

    /// Waits until fewer than `concurrency_max` calls are running. `None` is never returned in
    /// practice: the semaphore is never closed.
    pub async fn room(&self) -> Result<Option<SemaphorePermit<'_>>, Halt> {
        tokio::select! {
            () = self.stop.cancelled() => Err(Halt::Stopped),
            // The semaphore is never closed.
            room = self.engine.calls.acquire() => Ok(room.ok()),
        }
    }

    fn applied(&self, batch: &Batch) {
        let metrics = &self.engine.metrics;
        metrics.batches.inc();
        metrics.records.inc_by(batch.messages.len() as u64);
        metrics.batch_records.observe(batch.messages.len() as f64);
        // An empty batch does not show that the handler can apply records.
        if !batch.messages.is_empty() {
            self.poison_in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// Whether the handler has asked for a retry `retry_attempts_max` times. The number of an
    /// attempt is the number of pauses before it.
    fn is_spent(&self, backoff: &Backoff) -> bool {
        let max = self.engine.config.retry_attempts_max;
        max > 0 && backoff.attempts() + 1 >= max
    }

    async fn retry(&self, batch: &Batch, reason: &str, backoff: &mut Backoff) -> Result<(), Halt> {
        self.engine.metrics.retries.inc();
        let pause = backoff.next();
        tracing::warn!(
            topic = %batch.topic,
            partition = batch.partition,
            start = batch.start,
            end = batch.end,
            attempts = backoff.attempts(),
            pause_ms = pause.as_millis(),
            reason,
            "batch failed; it comes again"
        );
        self.pause(pause).await
    }

    fn broken(&self, batch: &Batch, blame: &Blame) {
        self.engine.metrics.breakdowns.inc();
        let Batch { topic, partition, start, end, messages, .. } = batch;
        let (records, Blame { class, reason }) = (messages.len(), blame);
        tracing::warn!(
            %topic, partition, start, end, records, %class, reason,
            "batch broke the handler; looking for the record to blame"
        );
    }

    /// Fails unless the handler's position lies before the batch's start.
    fn rewind(&self, batch: &Batch, position: i64) -> Result<Behind, Halt> {
        let start = batch.start;
        if !(0..start).contains(&position) {
            let reason = format!(
                "the handler asks to rewind to {position}, which is not before the batch's start"
            );
            return Err(self.fault(start, reason));
        }
        self.engine.metrics.rewinds.inc();
        let (topic, partition) = (&batch.topic, batch.partition);
        tracing::warn!(%topic, partition, start, position, "the handler's store is behind; going back");
        Ok(Behind::At(position))
    }

    /// Fails unless the handler must have stored a position before.
    fn lost(&self, batch: &Batch) -> Result<Behind, Halt> {
        let start = batch.start;
        if batch.first {
            let reason = "the handler says that it lost its position before it had one";
            return Err(self.fault(start, reason));
        }
        self.engine.metrics.rewinds.inc();
        Ok(Behind::Empty)
    }

    /// The pauses between attempts of the handler's calls.
    pub fn backoff(&self) -> Backoff {
        let config = &self.engine.config;
        Backoff::new(
            Duration::from_millis(config.retry_backoff_ms),
            Duration::from_millis(config.retry_backoff_max_ms),
        )
    }
}

/// Counts a batch that the handler is working on. If it is dropped before the handler answers, the
/// batch is counted as unfinished.
struct InFlight<'a> {
    metrics: &'a Metrics,
    batch: &'a Batch,
    answered: bool,
}

impl<'a> InFlight<'a> {
    fn new(metrics: &'a Metrics, batch: &'a Batch) -> Self {
        metrics.in_flight.inc();
        Self { metrics, batch, answered: false }
    }

    fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        if !self.answered {
            self.metrics.unfinished.inc();
            let Batch { topic, partition, start, end, .. } = self.batch;
            tracing::warn!(%topic, partition, start, end, "batch dropped in mid-way; it comes again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_lanes_the_one_furthest_behind_counts() {
        assert_eq!([Behind::At(9), Behind::At(5)].into_iter().min(), Some(Behind::At(5)));
        assert_eq!([Behind::At(0), Behind::Empty].into_iter().min(), Some(Behind::Empty));
    }
}
