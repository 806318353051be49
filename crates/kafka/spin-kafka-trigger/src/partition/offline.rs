//! Applies records that do not come from Kafka, with the code that applies those of a topic.

use std::collections::{HashMap, HashSet};
use std::future::ready;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::applier::{Applier, PartitionPosition, TransactionWriter};
use super::context::{TaskContext, TaskEnd};
use super::handler_calls::{FailureCause, HandlerCalls};
use super::limited_retries::{LimitedRetries, RETRIES_MAX};
use super::output::Output;
use crate::batch::{BatchBuilder, Gathered};
use crate::engine::Engine;
use crate::extent::Extent;
use crate::filter::pass;
use crate::letter_sink::{GivenUp, LetterSink};
use crate::{
    Batch, Config, Error, FailedRecords, FailureClass, Handler, Message, OutgoingRecord, Position,
    Progress,
};

/// The records of one partition.
#[derive(Debug, Clone)]
pub struct OfflineRecords {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The id of the log. A handler that keeps its position must have none in this log.
    pub log_id: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// The records in the order of their offsets. An offset occurs at most once.
    pub records: Vec<Message>,
}

/// The result of [`apply_offline`].
#[derive(Debug)]
#[non_exhaustive]
pub struct OfflineRun {
    /// What happened to each record, in the order of the records.
    pub outcomes: Vec<RecordOutcome>,
    /// The records that the handler returned, in the order in which they would be written.
    pub written: Vec<OutgoingRecord>,
    /// Why the trigger stopped before the end of the records, if it did.
    pub error: Option<Error>,
}

/// What happened to a record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordOutcome {
    /// The handler applied it.
    Applied,
    /// A filter dropped it.
    Filtered,
    /// The handler rejected it or failed with it. The trigger would write it to the dead-letter
    /// topic, or drop it if `failed_records` is `skip`.
    GivenUp {
        /// The kind of failure.
        class: FailureClass,
        /// Number of failed attempts that the record was part of.
        attempts: u32,
        /// The reason.
        reason: String,
    },
    /// The trigger stopped before its position was past the record. With `key_concurrency` above 1
    /// the handler may have applied it.
    NotApplied,
}

impl RecordOutcome {
    /// `applied`, `filtered`, `not-applied`, or the class of the failure.
    pub fn name(&self) -> String {
        match self {
            Self::Applied => "applied".into(),
            Self::Filtered => "filtered".into(),
            Self::NotApplied => "not-applied".into(),
            Self::GivenUp { class, .. } => class.to_string(),
        }
    }
}

/// Applies the records of one partition without Kafka. Batches, filters, retries, the division of
/// a batch after a failure and the policy for failed records are those of the trigger with these
/// settings, with two exceptions: dead letters are returned instead of written, and if the number
/// of retries is not limited, the run ends after five retries of one batch in a row.
pub async fn apply_offline<H: Handler>(
    config: Config,
    handler: H,
    records: OfflineRecords,
) -> Result<OfflineRun, Error> {
    config.validate()?;
    let OfflineRecords { topic, log_id, partition, records } = records;
    let offsets: Vec<i64> = records.iter().map(|message| message.offset).collect();
    let mut run = Run::new(config, handler, topic, log_id, partition);
    let error = match run.apply_all(records).await {
        Ok(()) | Err(TaskEnd::Stopped) => None,
        Err(TaskEnd::Failed(error)) => Some(error),
    };
    Ok(OfflineRun { outcomes: run.outcomes(&offsets), written: run.applied.take_written(), error })
}

/// The position up to which everything is applied, and what was written.
struct Applied {
    ctx: Arc<TaskContext<()>>,
    position: AtomicI64,
    written: Mutex<Vec<OutgoingRecord>>,
}

impl Applied {
    fn take_written(&self) -> Vec<OutgoingRecord> {
        std::mem::take(&mut *self.written.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl PartitionPosition for Applied {
    fn advance(&self, offset: i64, _: Extent) {
        self.position.fetch_max(offset, Ordering::Relaxed);
    }
}

impl TransactionWriter for Applied {
    fn write<'a>(
        &'a self,
        output: Output<'a>,
        _: i64,
        _: Extent,
    ) -> BoxFuture<'a, Result<Result<(), FailureCause>, TaskEnd>> {
        let Output { records, letters } = output;
        self.written.lock().unwrap_or_else(PoisonError::into_inner).extend(records);
        self.ctx.engine.dead_letters.keep(letters);
        ready(Ok(Ok(()))).boxed()
    }
}

/// The state of a run.
struct Run {
    ctx: Arc<TaskContext<()>>,
    calls: Arc<HandlerCalls<()>>,
    applier: Applier<()>,
    log_id: Arc<str>,
    applied: Arc<Applied>,
    /// The offsets of the records that a filter dropped, in the engine or in the handler.
    filtered: Arc<Mutex<HashSet<i64>>>,
}

impl Run {
    fn new<H: Handler>(
        config: Config,
        handler: H,
        topic: Arc<str>,
        log_id: Arc<str>,
        number: i32,
    ) -> Self {
        let retries_max = if config.retry_attempts_max == 0 { RETRIES_MAX } else { u32::MAX };
        let filtered = Arc::<Mutex<HashSet<i64>>>::default();
        let handler = LimitedRetries::new(handler, retries_max, filtered.clone());
        let progress = Arc::new(Progress::new(&config));
        let failed_records = match config.failed_records {
            FailedRecords::Stop => FailedRecords::Stop,
            // Both continue after the record; only a dead letter contains the reason.
            FailedRecords::DeadLetter | FailedRecords::Skip => FailedRecords::DeadLetter,
        };
        let config = Config { failed_records, ..config };
        let letters = LetterSink::List(Default::default());
        let handler = Arc::new(handler);
        // The receiver gets only errors of a Kafka client.
        let (engine, _) =
            Engine::with_sinks(config, handler, Arc::default(), progress, letters, None);
        let stop = engine.stop.clone();
        let ctx =
            Arc::new(TaskContext { engine, consumer: (), topic, number, stop, is_replay: false });
        let calls = Arc::new(HandlerCalls::new(ctx.clone()));
        let applied = Arc::new(Applied {
            ctx: ctx.clone(),
            position: AtomicI64::new(i64::MIN),
            written: Mutex::default(),
        });
        let is_transactional = ctx.engine.config.is_transactional();
        let transactions = is_transactional.then(|| applied.clone() as Arc<dyn TransactionWriter>);
        let applier = Applier::new(ctx.clone(), calls.clone(), applied.clone(), transactions);
        Self { ctx, calls, applier, log_id, applied, filtered }
    }

    /// Gathers batches and applies them.
    async fn apply_all(&mut self, records: Vec<Message>) -> Result<(), TaskEnd> {
        let Some(mut start) = records.first().map(|message| message.offset) else {
            return Ok(());
        };
        let keeps_position = match self.calls.position(&self.log_id).await? {
            Position::Committed => false,
            Position::Start | Position::Adopted => true,
            Position::At(position) => {
                let reason =
                    format!("the handler has the position {position} in a log that is new to it");
                return Err(self.ctx.handler_error(start, reason));
            }
        };
        let mut expected_position = None;
        let config = &self.ctx.engine.config;
        let mut builder = BatchBuilder::new(config.batch_records_max, config.batch_bytes_max);
        for message in records {
            if pass(&config.filters, &message) {
                builder.push(message);
            } else {
                builder.pass_over(message.offset);
                self.filtered().insert(message.offset);
            }
            while builder.is_full()
                && let Some(gathered) = builder.take()
            {
                self.apply(gathered, &mut start, &mut expected_position, keeps_position).await?;
            }
        }
        while let Some(gathered) = builder.take() {
            self.apply(gathered, &mut start, &mut expected_position, keeps_position).await?;
        }
        Ok(())
    }

    async fn apply(
        &self,
        gathered: Gathered,
        start: &mut i64,
        expected_position: &mut Option<i64>,
        keeps_position: bool,
    ) -> Result<(), TaskEnd> {
        let Gathered { records, end } = gathered;
        let begin = std::mem::replace(start, end);
        if records.is_empty() && !keeps_position {
            return Ok(());
        }
        let batch = Batch {
            topic: self.ctx.topic.clone(),
            log_id: self.log_id.clone(),
            partition: self.ctx.number,
            group: self.ctx.engine.config.group.as_str().into(),
            expected_position: *expected_position,
            start: begin,
            end,
            attempt: 1,
            records,
        };
        if self.applier.apply(batch, keeps_position, Extent::up_to(end)).await?.is_some() {
            let reason = "the handler has lost what it stored during this run";
            return Err(self.ctx.handler_error(begin, reason));
        }
        if keeps_position {
            *expected_position = Some(end);
        }
        Ok(())
    }

    fn filtered(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.filtered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happened to the records with these offsets.
    fn outcomes(&self, offsets: &[i64]) -> Vec<RecordOutcome> {
        let given_up = self.ctx.engine.dead_letters.take().into_iter();
        let mut given_up: HashMap<i64, GivenUp> =
            given_up.map(|letter| (letter.offset, letter)).collect();
        let applied = self.applied.position.load(Ordering::Relaxed);
        let filtered = self.filtered();
        let outcome = |offset: &i64| match given_up.remove(offset) {
            Some(GivenUp { class, attempts, reason, .. }) => {
                RecordOutcome::GivenUp { class, attempts, reason }
            }
            None if filtered.contains(offset) => RecordOutcome::Filtered,
            None if *offset < applied => RecordOutcome::Applied,
            None => RecordOutcome::NotApplied,
        };
        offsets.iter().map(outcome).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Failure, Rejection};

    fn config() -> Config {
        Config {
            brokers: "broker.invalid:9092".into(),
            topics: vec!["sales".into()],
            group: "group".into(),
            retry_backoff: Duration::from_millis(1),
            retry_backoff_max: Duration::from_millis(2),
            batch_records_max: 8,
            ..Config::default()
        }
    }

    fn records(values: &[&str]) -> OfflineRecords {
        let message = |(offset, value): (i64, &&str)| Message {
            offset,
            timestamp_ms: None,
            key: Some(value.as_bytes().to_vec().into()),
            value: Some(value.as_bytes().to_vec().into()),
            headers: Vec::new(),
        };
        OfflineRecords {
            topic: "sales".into(),
            log_id: "log".into(),
            partition: 0,
            records: (100..).zip(values).map(message).collect(),
        }
    }

    /// Does what the records say. With a position it requires every offset once and in order.
    struct Obedient {
        position: Option<AtomicI64>,
    }

    impl Handler for Obedient {
        async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
            let mut rejections = Vec::new();
            for message in &batch.records {
                match message.value.as_deref() {
                    Some(b"trap") => return Err(Failure::Trap("trapped".into())),
                    Some(b"retry") => return Err(Failure::Retry("store is down".into())),
                    Some(b"fatal") => return Err(Failure::Fatal("no licence".into())),
                    Some(b"reject") => {
                        let reason = "not a sale".into();
                        rejections.push(Rejection { offset: message.offset, reason });
                    }
                    _ => {}
                }
            }
            if let Some(position) = &self.position {
                let stored = position.load(Ordering::Relaxed);
                assert_eq!(batch.expected_position, (stored != 0).then_some(stored));
                let known = position.swap(batch.end, Ordering::Relaxed);
                assert!(known == 0 || known == batch.start, "{known} and {}", batch.start);
            }
            Ok(rejections)
        }

        async fn position(&self, _: &str, _: &str, _: &str, _: i32) -> Result<Position, Failure> {
            Ok(if self.position.is_some() { Position::Start } else { Position::Committed })
        }
    }

    async fn run(config: Config, values: &[&str]) -> OfflineRun {
        apply_offline(config, Obedient { position: None }, records(values)).await.unwrap()
    }

    fn words(run: &OfflineRun) -> Vec<String> {
        run.outcomes.iter().map(RecordOutcome::name).collect()
    }

    #[tokio::test]
    async fn the_record_that_fails_is_found_and_the_others_are_applied() {
        let values = ["a", "b", "reject", "c", "d", "e", "trap", "f", "g", "h"];
        for position in [None, Some(AtomicI64::new(0))] {
            let handler = Obedient { position };
            let run = apply_offline(config(), handler, records(&values)).await.unwrap();
            let mut expected = ["applied"; 10];
            (expected[2], expected[6]) = ("rejected", "trap");
            assert_eq!(words(&run), expected);
            assert!(run.error.is_none());
            let RecordOutcome::GivenUp { attempts, reason, .. } = &run.outcomes[6] else {
                panic!("{:?}", run.outcomes[6]);
            };
            // With seven others, with three, with one, and alone.
            assert_eq!((*attempts, reason.as_str()), (4, "trapped"));
        }
    }

    #[cfg(feature = "filters")]
    #[tokio::test]
    async fn filters_and_the_policy_for_failed_records_are_those_of_the_settings() {
        let filter: crate::Filter = toml::from_str("on='key'\nprefix='a'").unwrap();
        let filtered = Config { filters: vec![filter], ..config() };
        assert_eq!(
            words(&run(filtered, &["a", "trap", "ab"]).await),
            ["applied", "filtered", "applied"]
        );
        let skip = Config { failed_records: FailedRecords::Skip, ..config() };
        assert_eq!(words(&run(skip, &["a", "trap", "b"]).await), ["applied", "trap", "applied"]);
        let stop = Config { failed_records: FailedRecords::Stop, ..config() };
        let stopped = run(stop, &["a", "trap", "b"]).await;
        assert_eq!(words(&stopped), ["applied", "not-applied", "not-applied"]);
        assert!(matches!(stopped.error, Some(Error::Poison { offset: 101, .. })));
        let few = Config { poison_in_a_row_max: 1, ..config() };
        let stopped = run(few, &["trap", "trap", "b"]).await;
        assert_eq!(words(&stopped), ["trap", "not-applied", "not-applied"]);
    }

    #[tokio::test]
    async fn an_endless_retry_and_a_fatal_failure_end_the_run() {
        let ended = run(config(), &["retry"]).await;
        let error = ended.error.as_ref().unwrap().to_string();
        assert!(error.contains("6 attempts") && error.contains("store is down"), "{error}");
        assert_eq!(words(&ended), ["not-applied"]);
        let limited = Config { retry_attempts_max: 2, ..config() };
        let ended = run(limited, &["a", "retry", "b"]).await;
        assert_eq!(words(&ended), ["applied", "retries", "applied"]);
        let ended = run(config(), &["fatal"]).await;
        assert!(ended.error.unwrap().to_string().contains("no licence"));
    }

    /// Requests a number of retries for each batch.
    struct RetriedBatches {
        retries: u32,
        calls: Mutex<HashMap<i64, u32>>,
    }

    impl Handler for RetriedBatches {
        async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
            let mut calls = self.calls.lock().unwrap();
            let calls = calls.entry(batch.records[0].offset).or_default();
            *calls += 1;
            if *calls <= self.retries { Err(Failure::Retry("busy".into())) } else { Ok(Vec::new()) }
        }

        async fn position(&self, _: &str, _: &str, _: &str, _: i32) -> Result<Position, Failure> {
            Ok(Position::Committed)
        }
    }

    #[tokio::test]
    async fn retries_of_batches_at_the_same_time_are_counted_separately() {
        let config = Config { key_concurrency: 8, ..config() };
        let values = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let run = async |retries| {
            let handler = RetriedBatches { retries, calls: Mutex::default() };
            let run = apply_offline(config.clone(), handler, records(&values)).await.unwrap();
            (words(&run), run.error.map(|error| error.to_string()))
        };
        assert_eq!(run(RETRIES_MAX).await, (vec!["applied".to_owned(); 8], None));
        let (_, error) = run(RETRIES_MAX + 1).await;
        assert!(error.as_ref().is_some_and(|error| error.contains("6 attempts")), "{error:?}");
    }
}
