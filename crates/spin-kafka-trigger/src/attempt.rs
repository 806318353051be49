//! Hands a batch to the handler until it has an answer for it.

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

/// How far a handler's store is behind; the lesser, the further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Behind {
    /// It has lost everything.
    Empty,
    /// It has lost its end: this is its position.
    At(i64),
}

/// What came of a batch.
pub(crate) enum Outcome {
    /// It is applied, and what the handler refused is taken care of.
    Applied,
    /// The handler's store is behind.
    Behind(Behind),
    /// The handler cannot bear it as it is.
    Broken(Part, Blame),
}

impl Partition {
    /// Hands the batch over, again and again while the handler asks for it.
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

    /// One call, once the handler has room for it.
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

    /// Waits until the handler has room for another call.
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
        if !batch.messages.is_empty() {
            self.poison_in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// Whether the handler asked for as many retries as it may. An answer is the attempt after
    /// as many pauses.
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

    /// The handler's position must lie before the batch.
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

    /// The handler must have stored a position before.
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

/// A batch that the handler has. Dropped before its answer, it counts as unfinished.
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
