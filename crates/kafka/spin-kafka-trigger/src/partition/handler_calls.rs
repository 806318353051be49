//! Calls the handler, and repeats a call until it has a final result.

use std::sync::Arc;
use std::time::Instant;

use super::context::{TaskContext, TaskEnd};
use crate::backoff::Backoff;
use crate::call::answer;
use crate::consumer::Consumer;
use crate::metrics::Metrics;
use crate::{Answer, Batch, Failure, FailureClass, Position};

/// What a handler's store has lost. The lesser value is the greater loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LostState {
    /// Everything.
    All,
    /// Everything from this position on.
    From(i64),
}

/// Why the handler did not apply a batch.
#[derive(Debug)]
pub(crate) struct FailureCause {
    pub class: FailureClass,
    pub reason: String,
}

/// The result of handing over a batch.
pub(crate) enum Outcome {
    /// The batch is applied, except for the records that the handler rejects or filtered, and for
    /// the records to write.
    Applied(Answer),
    /// The handler's store has lost what it needs to apply the batch.
    Lost(LostState),
    /// The handler fails with this batch.
    Failed(FailureCause),
}

/// Calls the handler for one partition.
pub(crate) struct HandlerCalls<C = Arc<Consumer>> {
    ctx: Arc<TaskContext<C>>,
}

impl<C> HandlerCalls<C> {
    pub fn new(ctx: Arc<TaskContext<C>>) -> Self {
        Self { ctx }
    }

    /// Hands the batch over. Repeats that while the handler requests a retry and retries are left,
    /// and counts the attempts in the batch.
    pub async fn handle(&self, batch: &mut Arc<Batch>) -> Result<Outcome, TaskEnd> {
        let mut backoff = self.ctx.retry_backoff();
        loop {
            let (class, reason) = match self.call(batch).await? {
                Ok(answer) => return Ok(Outcome::Applied(answer)),
                Err(Failure::Rewind(to)) => return self.rewound(batch, to).map(Outcome::Lost),
                Err(Failure::Lost) => return self.lost(batch).map(Outcome::Lost),
                Err(Failure::Fatal(reason)) => {
                    return Err(self.ctx.handler_error(batch.start, reason));
                }
                Err(Failure::Retry(reason)) if self.has_retries(&backoff) => {
                    self.retry(batch, &reason, &mut backoff).await?;
                    Arc::make_mut(batch).next_attempt();
                    continue;
                }
                Err(Failure::Retry(reason)) => (FailureClass::Retries, reason),
                Err(Failure::Trap(reason)) => (FailureClass::Trap, reason),
                Err(Failure::Deadline(reason)) => (FailureClass::Deadline, reason),
                Err(Failure::Memory(reason)) => (FailureClass::Memory, reason),
            };
            let cause = FailureCause { class, reason };
            self.report_failure(batch, &cause);
            return Ok(Outcome::Failed(cause));
        }
    }

    /// Makes one call, as soon as fewer than `concurrency_max` calls are running.
    async fn call(&self, batch: &Arc<Batch>) -> Result<Result<Answer, Failure>, TaskEnd> {
        let _permit = self.ctx.call_permit().await?;
        let metrics = &self.ctx.engine.metrics;
        let in_flight = InFlight::new(metrics, batch);
        let begun = Instant::now();
        let answer = answer(self.ctx.engine.handler.clone().handle(batch.clone())).await;
        metrics.handler_seconds.observe(begun.elapsed().as_secs_f64());
        in_flight.answered();
        Ok(answer)
    }

    /// Whether one more retry is permitted. `retry_attempts_max` limits the number of attempts,
    /// which is one more than the number of pauses.
    fn has_retries(&self, backoff: &Backoff) -> bool {
        let max = self.ctx.engine.config.retry_attempts_max;
        max == 0 || backoff.attempts() + 1 < max
    }

    async fn retry(
        &self,
        batch: &Batch,
        reason: &str,
        backoff: &mut Backoff,
    ) -> Result<(), TaskEnd> {
        self.ctx.engine.metrics.retries.inc();
        let pause = backoff.next_pause();
        tracing::warn!(
            topic = %batch.topic,
            partition = batch.partition,
            start = batch.start,
            end = batch.end,
            attempts = backoff.attempts(),
            pause_ms = pause.as_millis(),
            reason,
            "batch failed; it is handed over again"
        );
        self.ctx.pause(pause).await
    }

    /// Reports and counts a failure of the handler.
    pub fn report_failure(&self, batch: &Batch, cause: &FailureCause) {
        self.ctx.engine.metrics.breakdowns.inc();
        let Batch { topic, partition, start, end, records, .. } = batch;
        let (records, FailureCause { class, reason }) = (records.len(), cause);
        tracing::warn!(
            %topic, partition, start, end, records, %class, reason,
            "batch made the handler fail; it is divided to find the record that causes this"
        );
    }

    /// Fails unless the handler's position lies before the batch's start.
    fn rewound(&self, batch: &Batch, position: i64) -> Result<LostState, TaskEnd> {
        let start = batch.start;
        if self.ctx.engine.config.is_transactional() {
            // What the records before the batch result in would be written once more.
            let reason = "a handler that returns records keeps no position, so it cannot rewind";
            return Err(self.ctx.handler_error(start, reason));
        }
        if !(0..start).contains(&position) {
            let reason = format!(
                "the handler asks to rewind to {position}, which is not before the batch's start"
            );
            return Err(self.ctx.handler_error(start, reason));
        }
        self.ctx.engine.metrics.rewinds.inc();
        let (topic, partition) = (&batch.topic, batch.partition);
        tracing::warn!(
            %topic, partition, start, position,
            "the handler's store is behind the batch"
        );
        Ok(LostState::From(position))
    }

    /// Fails unless the handler must have stored a position before.
    fn lost(&self, batch: &Batch) -> Result<LostState, TaskEnd> {
        let start = batch.start;
        if batch.expected_position.is_none() {
            let reason = "the handler says that it lost its position before it had one";
            return Err(self.ctx.handler_error(start, reason));
        }
        self.ctx.engine.metrics.rewinds.inc();
        Ok(LostState::All)
    }

    /// The handler's position in the log of this name. The call is repeated until it succeeds.
    pub async fn position(&self, log_id: &Arc<str>) -> Result<Position, TaskEnd> {
        let ctx = &self.ctx;
        let mut backoff = ctx.retry_backoff();
        loop {
            let permit = ctx.call_permit().await?;
            let (handler, topic) = (ctx.engine.handler.clone(), ctx.topic.clone());
            let group = ctx.engine.config.group.as_str().into();
            let call = handler.position(group, topic, log_id.clone(), ctx.number);
            let answer = tokio::select! {
                () = ctx.stop.cancelled() => return Err(TaskEnd::Stopped),
                answer = answer(call) => answer,
            };
            drop(permit);
            let reason = match answer {
                Ok(Position::At(offset)) if offset < 0 => {
                    format!("the handler's position {offset} is below 0")
                }
                Ok(position) => return Ok(position),
                Err(
                    Failure::Retry(reason)
                    | Failure::Trap(reason)
                    | Failure::Deadline(reason)
                    | Failure::Memory(reason),
                ) => {
                    ctx.engine.metrics.retries.inc();
                    let (topic, partition) = (&ctx.topic, ctx.number);
                    tracing::warn!(%topic, partition, reason, "no position yet; trying again");
                    ctx.pause(backoff.next_pause()).await?;
                    continue;
                }
                Err(Failure::Rewind(to)) => {
                    format!("the handler answers rewind to {to} to a request for its position")
                }
                Err(Failure::Lost) => {
                    "the handler answers lost to a request for its position".into()
                }
                Err(Failure::Fatal(reason)) => reason,
            };
            return Err(ctx.handler_error(-1, reason));
        }
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
            tracing::warn!(
                %topic, partition, start, end,
                "batch dropped before the handler answered; it is delivered again"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Message, OfflineRecords, RecordOutcome, apply_offline, transform_fn};

    #[tokio::test]
    async fn a_handler_that_returns_records_cannot_go_back() {
        for (failure, expected) in [
            ((|| Failure::Rewind(3)) as fn() -> Failure, "so it cannot rewind"),
            (|| Failure::Lost, "lost its position before it had one"),
        ] {
            let config =
                Config::new("broker.invalid:9092", ["sales"], "group").output_topics(["lines"]);
            let message =
                Message { offset: 7, timestamp_ms: None, key: None, value: None, headers: vec![] };
            let records = OfflineRecords {
                topic: "sales".into(),
                log_id: "log".into(),
                partition: 0,
                records: vec![message],
            };
            let handler = transform_fn(move |_| async move { Err(failure()) });
            let run = apply_offline(config, handler, records).await.unwrap();
            assert_eq!(run.outcomes, [RecordOutcome::NotApplied]);
            let error = run.error.unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn of_several_parts_the_greatest_loss_counts() {
        let (all, five, nine) = (LostState::All, LostState::From(5), LostState::From(9));
        assert_eq!([nine, five].into_iter().min(), Some(five));
        assert_eq!([LostState::From(0), all].into_iter().min(), Some(all));
    }
}
