//! Applies a batch: in one call if the handler succeeds, else in parts.

use std::sync::Arc;

use futures::future::{BoxFuture, try_join_all};

use super::context::{TaskContext, TaskEnd};
use super::failed_records::FailedRecordPolicy;
use super::handler_calls::{FailureCause, HandlerCalls, LostState, Outcome};
use super::output::Output;
use crate::consumer::Consumer;
use crate::extent::Extent;
use crate::letter::Letter;
use crate::parts::{AfterFailure, Bisection, Part, Rules, by_key};
use crate::{Answer, Batch, FailureClass, OutgoingRecord};

/// The position of one partition.
pub(crate) trait PartitionPosition: Send + Sync {
    /// Notes that everything before `offset` is applied. `read` is how far the log was read.
    fn advance(&self, offset: i64, read: Extent);
}

/// Writes what the handler returns, if the settings have topics for it.
pub(crate) trait TransactionWriter: Send + Sync {
    /// Writes the output and commits `offset` in one transaction. The answer is the failure of the
    /// batch if a broker refuses a record of the handler; nothing is written then.
    fn write<'a>(
        &'a self,
        output: Output<'a>,
        offset: i64,
        read: Extent,
    ) -> BoxFuture<'a, Result<Result<(), FailureCause>, TaskEnd>>;
}

/// Applies the batches of one partition, and moves the position.
pub(crate) struct Applier<C = Arc<Consumer>> {
    ctx: Arc<TaskContext<C>>,
    calls: Arc<HandlerCalls<C>>,
    position: Arc<dyn PartitionPosition>,
    /// Records and letters are written by it, with the offset; without one, only letters are written.
    transactions: Option<Arc<dyn TransactionWriter>>,
    failed_records: FailedRecordPolicy<C>,
}

impl<C> Applier<C> {
    pub fn new(
        ctx: Arc<TaskContext<C>>,
        calls: Arc<HandlerCalls<C>>,
        position: Arc<dyn PartitionPosition>,
        transactions: Option<Arc<dyn TransactionWriter>>,
    ) -> Self {
        let failed_records = FailedRecordPolicy::new(ctx.clone());
        Self { ctx, calls, position, transactions, failed_records }
    }

    /// Applies the batch and moves the position to its end. `read` is how far the log was read.
    /// Returns what the handler's store has lost; `None` if the batch was applied.
    pub async fn apply(
        &self,
        batch: Batch,
        keeps_position: bool,
        read: Extent,
    ) -> Result<Option<LostState>, TaskEnd> {
        let parts = self.ctx.engine.config.key_concurrency;
        if parts == 1 {
            return self.apply_in_parts(batch, self.rules(keeps_position, true), read).await;
        }
        if keeps_position {
            let reason = "a handler that keeps its position needs `key_concurrency = 1`";
            return Err(self.ctx.handler_error(batch.start, reason));
        }
        let end = batch.end;
        let rules = self.rules(keeps_position, false);
        let parts = by_key(batch, parts).into_iter();
        let parts = parts.map(|part| self.apply_in_parts(part, rules.clone(), read));
        let lost = try_join_all(parts).await?.into_iter().flatten().min();
        if lost.is_none() {
            self.position.advance(end, read);
        }
        Ok(lost)
    }

    fn rules(&self, keeps_position: bool, in_order: bool) -> Rules {
        let config = &self.ctx.engine.config;
        Rules {
            poison_attempts: config.poison_attempts,
            empty_failures_max: config.poison_in_a_row_max,
            backoff: self.ctx.retry_backoff(),
            keeps_position,
            in_order,
        }
    }

    /// Hands the batch to the handler, and divides it if the handler fails.
    async fn apply_in_parts(
        &self,
        batch: Batch,
        rules: Rules,
        read: Extent,
    ) -> Result<Option<LostState>, TaskEnd> {
        let mut bisection = Bisection::new(batch, rules);
        while let Some(mut part) = bisection.next_part() {
            if self.ctx.stop.is_cancelled() {
                return Err(TaskEnd::Stopped);
            }
            let applied = match self.calls.handle(&mut part.batch).await? {
                Outcome::Applied(answer) => {
                    self.after_answer(&mut bisection, part, answer, read).await?
                }
                Outcome::Lost(lost) => return Ok(Some(lost)),
                Outcome::Failed(cause) => {
                    self.after_failure(&mut bisection, part, &cause, read).await?
                }
            };
            if let Some(offset) = applied {
                self.position.advance(offset, read);
            }
        }
        Ok(None)
    }

    /// Moves the position past offsets that hold no record for the handler.
    pub async fn pass_over(&self, end: i64, read: Extent) -> Result<(), TaskEnd> {
        if self.transactions.is_some() {
            self.write_letters(Vec::new(), end, read).await?;
        }
        self.position.advance(end, read);
        Ok(())
    }

    /// Writes what the handler returned. Returns the offset to store, if the part moves the
    /// position.
    async fn after_answer(
        &self,
        bisection: &mut Bisection,
        part: Part,
        answer: Answer,
        read: Extent,
    ) -> Result<Option<i64>, TaskEnd> {
        let Answer { rejections, filtered, records } = answer;
        let written = match self.unacceptable(&part.batch, &records)? {
            Some(cause) => Err(cause),
            None => {
                let letters = self.failed_records.rejected(&part.batch, &rejections)?;
                self.write(records, letters, part.batch.end, read).await?
            }
        };
        if let Err(cause) = written {
            self.calls.report_failure(&part.batch, &cause);
            return self.after_failure(bisection, part, &cause, read).await;
        }
        self.count_applied(&part.batch, rejections.len(), filtered.len());
        Ok(bisection.applied(&part))
    }

    /// Why the records that the handler returned are not written, if they exceed a limit or are not
    /// valid. Fails if one of them is for another topic than those of the settings.
    fn unacceptable(
        &self,
        batch: &Batch,
        records: &[OutgoingRecord],
    ) -> Result<Option<FailureCause>, TaskEnd> {
        let config = &self.ctx.engine.config;
        let is_known = |record: &&OutgoingRecord| {
            config.output_topics.iter().any(|topic| **topic == *record.topic)
        };
        if let Some(stray) = records.iter().find(|record| !is_known(record)) {
            let reason = format!(
                "the handler returns a record for topic `{}`, which is not in `output_topics`",
                stray.topic
            );
            return Err(self.ctx.handler_error(batch.start, reason));
        }
        let bytes: usize = records.iter().map(OutgoingRecord::content_bytes).sum();
        let fault = records.iter().find_map(|record| Some((record, record.fault()?)));
        let reason = if let Some((record, fault)) = fault {
            format!("a record for topic `{}` that no broker accepts: {fault}", record.topic)
        } else if records.len() > config.output_records_max {
            format!("{} records, above `output_records_max`", records.len())
        } else if bytes > config.output_bytes_max {
            format!("records of {bytes} bytes, above `output_bytes_max`")
        } else {
            return Ok(None);
        };
        let reason = format!("the handler returns {reason}");
        Ok(Some(FailureCause { class: FailureClass::Output, reason }))
    }

    /// Writes letters, or in a transaction only the offset.
    async fn write_letters(
        &self,
        letters: Vec<Letter<'_>>,
        end: i64,
        read: Extent,
    ) -> Result<(), TaskEnd> {
        let written = self.write(Vec::new(), letters, end, read).await?;
        // Without a record of the handler, none can be refused.
        written.map_err(|cause| self.ctx.handler_error(end, cause.reason))
    }

    /// Writes records and letters, and reports the records that the letters are for, unless nothing
    /// was written because a record is refused.
    async fn write(
        &self,
        records: Vec<OutgoingRecord>,
        given_up: Vec<Letter<'_>>,
        end: i64,
        read: Extent,
    ) -> Result<Result<(), FailureCause>, TaskEnd> {
        let letters = self.failed_records.to_write(&given_up);
        match &self.transactions {
            Some(transactions) => {
                let output = Output { records, letters };
                if let Err(cause) = transactions.write(output, end, read).await? {
                    return Ok(Err(cause));
                }
            }
            None => self.failed_records.write_dead_letters(letters).await?,
        }
        self.failed_records.report(&given_up);
        Ok(Ok(()))
    }

    /// Does what the bisection decides. Returns the offset to store, if the part moves the
    /// position.
    async fn after_failure(
        &self,
        bisection: &mut Bisection,
        part: Part,
        cause: &FailureCause,
        read: Extent,
    ) -> Result<Option<i64>, TaskEnd> {
        match bisection.failed(part) {
            AfterFailure::Continue => Ok(None),
            AfterFailure::Retry(pause) => self.ctx.pause(pause).await.map(|()| None),
            AfterFailure::GiveUp(part) => {
                let Part { batch, failures, .. } = &part;
                let letters = self.failed_records.poison(batch, *failures, cause)?;
                self.write_letters(letters, batch.end, read).await?;
                Ok(bisection.given_up(&part))
            }
            AfterFailure::Stop(Part { batch, failures, .. }) => {
                let reason = format!(
                    "the handler failed {failures} times on offsets without a record: {}",
                    cause.reason
                );
                Err(self.ctx.handler_error(batch.start, reason))
            }
        }
    }

    fn count_applied(&self, batch: &Batch, rejected: usize, filtered: usize) {
        let metrics = &self.ctx.engine.metrics;
        let records = batch.records.len().saturating_sub(filtered);
        metrics.batches.inc();
        metrics.records.inc_by(records as u64);
        metrics.filtered.inc_by(filtered as u64);
        metrics.batch_records.observe(records as f64);
        self.failed_records.applied(records.saturating_sub(rejected));
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use futures::FutureExt as _;

    use super::*;
    use crate::engine::Engine;
    use crate::letter_sink::LetterSink;
    use crate::{
        Config, Error, Failure, Handler, Message, OfflineRecords, Position, Progress,
        RecordOutcome, Rejection, apply_offline, transform_fn,
    };

    /// Refuses to write several records at once.
    struct OneAtATime;

    impl PartitionPosition for OneAtATime {
        fn advance(&self, _: i64, _: Extent) {}
    }

    impl TransactionWriter for OneAtATime {
        fn write<'a>(
            &'a self,
            output: Output<'a>,
            _: i64,
            _: Extent,
        ) -> BoxFuture<'a, Result<Result<(), FailureCause>, TaskEnd>> {
            let refused = FailureCause { class: FailureClass::Output, reason: "too many".into() };
            ready(Ok(if output.records.len() > 1 { Err(refused) } else { Ok(()) })).boxed()
        }
    }

    #[tokio::test]
    async fn a_rejection_is_counted_once_although_the_output_of_its_batch_was_refused() {
        let config = Config::new("broker.invalid:9092", ["sales"], "group")
            .output_topics(["lines"])
            .failed_records(crate::FailedRecords::Skip);
        let handler = transform_fn(|batch| async move {
            let (bad, good): (Vec<_>, Vec<_>) =
                batch.records.iter().partition(|message| message.offset == 0);
            let rejection =
                |message: &Message| Rejection { offset: message.offset, reason: "bad".into() };
            let record = |_| OutgoingRecord::new("lines", "line");
            Ok(Answer {
                rejections: bad.into_iter().map(rejection).collect(),
                records: good.into_iter().map(record).collect(),
                ..Answer::default()
            })
        });
        let (progress, letters) =
            (Arc::new(Progress::new(&config)), LetterSink::List(Default::default()));
        let (engine, _) =
            Engine::with_sinks(config, Arc::new(handler), Arc::default(), progress, letters, None);
        let (stop, topic): (_, Arc<str>) = (engine.stop.clone(), "sales".into());
        let batch = Batch {
            topic: topic.clone(),
            log_id: "log".into(),
            partition: 0,
            group: "group".into(),
            expected_position: None,
            start: 0,
            end: 4,
            attempt: 1,
            records: (0..4).map(message).collect(),
        };
        let ctx = TaskContext { engine, consumer: (), topic, number: 0, stop, is_replay: false };
        let ctx = Arc::new(ctx);
        let calls = Arc::new(HandlerCalls::new(ctx.clone()));
        let applier =
            Applier::new(ctx.clone(), calls, Arc::new(OneAtATime), Some(Arc::new(OneAtATime)));
        assert!(matches!(applier.apply(batch, false, Extent::up_to(4)).await, Ok(None)));
        let metrics = &ctx.engine.metrics;
        assert_eq!(metrics.breakdowns.get(), 2, "the whole batch and its second half");
        assert_eq!((metrics.rejections.get(), metrics.skipped.get()), (1, 1));
    }

    fn message(offset: i64) -> Message {
        Message { offset, timestamp_ms: None, key: None, value: None, headers: Vec::new() }
    }

    /// Traps at even offsets, and rejects or filters odd ones, except for those that it applies.
    struct Broken {
        applies: Vec<i64>,
        filters: bool,
    }

    impl Handler for Broken {
        async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
            let mut rejections = Vec::new();
            for Message { offset, .. } in &batch.records {
                match offset % 2 {
                    _ if self.applies.contains(offset) => {}
                    0 => return Err(Failure::Trap("trapped".into())),
                    _ => rejections.push(Rejection { offset: *offset, reason: "bad".into() }),
                }
            }
            Ok(rejections)
        }

        async fn answer(&self, batch: Arc<Batch>) -> Result<Answer, Failure> {
            let mut answer = Answer::from(self.handle(&batch).await?);
            if self.filters {
                let filtered = answer.rejections.drain(..).map(|rejection| rejection.offset);
                answer.filtered = filtered.collect();
            }
            Ok(answer)
        }

        async fn position(&self, _: &str, _: &str, _: &str, _: i32) -> Result<Position, Failure> {
            Ok(Position::Committed)
        }
    }

    #[tokio::test]
    async fn rejected_and_filtered_records_do_not_show_that_the_handler_can_apply_records() {
        for (applies, filters, expected) in
            [(vec![], false, 6), (vec![], true, 6), (vec![5], false, 10), (vec![5], true, 10)]
        {
            let config = Config::new("broker.invalid:9092", ["sales"], "group")
                .poison_attempts(1)
                .poison_in_a_row_max(3);
            let records = OfflineRecords {
                topic: "sales".into(),
                log_id: "log".into(),
                partition: 0,
                records: (0..10).map(message).collect(),
            };
            let run = apply_offline(config, Broken { applies, filters }, records).await.unwrap();
            let is_done = |outcome: &&RecordOutcome| **outcome != RecordOutcome::NotApplied;
            assert_eq!(run.outcomes.iter().filter(is_done).count(), expected);
            let is_filtered = |outcome: &&RecordOutcome| **outcome == RecordOutcome::Filtered;
            assert_eq!(run.outcomes.iter().any(|outcome| is_filtered(&outcome)), filters);
            let stopped = expected < 10;
            assert_eq!(matches!(run.error, Some(Error::Poison { offset: 6, .. })), stopped);
        }
    }
}
