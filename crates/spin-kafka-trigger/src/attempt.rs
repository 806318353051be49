//! Hands a batch to the handler until it is applied.

use std::sync::Arc;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::call::answer;
use crate::metrics::{Entered, Metrics};
use crate::partition::{Halt, Partition};
use crate::{Batch, Failure, Rejection};

impl Partition {
    /// Hands the batch over, again and again while the handler asks for it, and stores its
    /// end. Answers the position to go back to if the handler's store is behind.
    pub async fn apply(&self, batch: Batch) -> Result<Option<i64>, Halt> {
        let batch = Arc::new(batch);
        let mut backoff = self.backoff();
        loop {
            match self.attempt(&batch).await {
                Ok(rejections) => {
                    self.reject(&batch, &rejections)?;
                    self.store(batch.end);
                    let metrics = &self.engine.metrics;
                    metrics.batches.add(1);
                    metrics.records.add(batch.messages.len() as u64);
                    return Ok(None);
                }
                Err(Failure::Retry(reason)) => self.retry(&batch, &reason, &mut backoff).await?,
                Err(Failure::Rewind(position)) => return self.rewind(&batch, position).map(Some),
                Err(Failure::Fatal(reason)) => return Err(self.fault(batch.start, reason)),
            }
        }
    }

    async fn attempt(&self, batch: &Arc<Batch>) -> Result<Vec<Rejection>, Failure> {
        let in_flight = InFlight::new(&self.engine.metrics, batch);
        let answer = answer(self.engine.handler.clone().handle(batch.clone())).await;
        in_flight.answered();
        answer
    }

    async fn retry(&self, batch: &Batch, reason: &str, backoff: &mut Backoff) -> Result<(), Halt> {
        self.engine.metrics.retries.add(1);
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

    /// The handler's position must lie before the batch.
    fn rewind(&self, batch: &Batch, position: i64) -> Result<i64, Halt> {
        let start = batch.start;
        if !(0..start).contains(&position) {
            let reason = format!(
                "the handler asks to rewind to {position}, which is not before the batch's start"
            );
            return Err(self.fault(start, reason));
        }
        self.engine.metrics.rewinds.add(1);
        let (topic, partition) = (&batch.topic, batch.partition);
        tracing::warn!(%topic, partition, start, position, "the handler's store is behind; going back");
        Ok(position)
    }

    /// Counts and logs what the handler refused.
    fn reject(&self, batch: &Batch, rejections: &[Rejection]) -> Result<(), Halt> {
        for Rejection { offset, reason } in rejections {
            if batch.messages.binary_search_by_key(offset, |message| message.offset).is_err() {
                let reason = format!(
                    "the handler rejects offset {offset}, which is not in the batch {}..{}",
                    batch.start, batch.end
                );
                return Err(self.fault(batch.start, reason));
            }
            let (topic, partition) = (&batch.topic, batch.partition);
            tracing::warn!(%topic, partition, offset, reason, "record rejected");
        }
        self.engine.metrics.rejections.add(rejections.len() as u64);
        Ok(())
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
    _entered: Entered<'a>,
}

impl<'a> InFlight<'a> {
    fn new(metrics: &'a Metrics, batch: &'a Batch) -> Self {
        Self { metrics, batch, answered: false, _entered: metrics.in_flight.enter() }
    }

    fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.metrics.unfinished.add(1);
            let Batch { topic, partition, start, end, .. } = self.batch;
            tracing::warn!(%topic, partition, start, end, "batch dropped in mid-way; it comes again");
        }
    }
}
