//! Handles background tasks: sends the request of each record to a service, and stores the answer.

mod service;
mod settings;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use background_tasks::{Finished, Started, TaskId, TaskRecord, Transition};
use futures::StreamExt as _;
use spin_kafka_sdk::{self as kafka, Batch, Failure, Record, Rejection};

use settings::Worker;

/// The most tasks of a batch that are handled at the same time.
const TASKS_AT_ONCE_MAX: usize = 64;

/// The time of a batch.
#[derive(Clone, Copy)]
struct BatchTime {
    begun: Instant,
    limit: Duration,
}

impl BatchTime {
    /// Whether there is time for another attempt. One that is interrupted would be treated as a failure
    /// of this component.
    fn has_room(self) -> bool {
        self.begun.elapsed() < self.limit / 3
    }

    /// The most milliseconds of a request, so that its attempt ends before the time limit.
    fn request_ms(self, timeout_ms: u32) -> u32 {
        u32::try_from((self.limit / 2).as_millis()).unwrap_or(u32::MAX).min(timeout_ms)
    }
}

#[kafka::batch]
async fn handle(batch: &Batch) -> Result<Vec<Rejection>, Failure> {
    let worker = settings::worker().await?;
    let time = BatchTime { begun: Instant::now(), limit: batch.time_limit() };
    let mut rejections = Vec::new();
    let mut tasks: BTreeMap<String, Vec<(&Record, TaskRecord)>> = BTreeMap::new();
    for record in batch.records() {
        match TaskRecord::parse(record.value().unwrap_or_default()) {
            Ok(task) => {
                tasks.entry(task.id.to_string()).or_default().push((record, task));
            }
            Err(reason) => rejections.push(record.reject(reason)),
        }
    }
    let handled = tasks.into_values().map(|records| handle_task(worker, time, records));
    let handled: Vec<_> =
        futures::stream::iter(handled).buffer_unordered(TASKS_AT_ONCE_MAX).collect().await;
    for one in handled {
        rejections.extend(one?);
    }
    Ok(rejections)
}

/// Handles the records of one task, in their order.
async fn handle_task(
    worker: &Worker,
    time: BatchTime,
    records: Vec<(&Record, TaskRecord)>,
) -> Result<Vec<Rejection>, Failure> {
    let mut rejections = Vec::new();
    for (record, task) in records {
        if let Some(reason) = attempt(worker, time, record, &task).await? {
            rejections.push(record.reject(reason));
        }
    }
    Ok(rejections)
}

/// Makes an attempt, if the task still needs one. Returns why the record is rejected.
async fn attempt(
    worker: &Worker,
    time: BatchTime,
    record: &Record,
    task: &TaskRecord,
) -> Result<Option<String>, Failure> {
    let Worker { config, keys, store } = worker;
    if is_expired(record, config.store.retention_ms) {
        return Ok(Some("the record is older than `tasks_retention_s`".into()));
    }
    if !time.has_room() {
        return Err(Failure::retry("there is no time left for all tasks of the batch"));
    }
    let digest = task.request.digest();
    let position = format!("{}/{}@{}", record.topic(), record.partition(), record.offset());
    let start = Transition::Start {
        digest: &digest,
        subject: &task.subject,
        created_ms: task.created_ms,
        position: &position,
        record_ms: record.timestamp_ms().unwrap_or(0),
        attempts_max: config.attempts_max,
    };
    let attempt = match store.change(&config.store, &task.id, &start).await.map_err(no_store)? {
        Started::Run(attempt) => attempt,
        Started::Done => return Ok(None),
        Started::Reject(reason) => return Ok(Some(reason)),
    };
    let token = keys.token(&task.id, attempt);
    let timeout_ms = time.request_ms(config.timeout_ms);
    let outcome = service::send(config, task, attempt, &token, timeout_ms).await?;
    let finish =
        Transition::Finish { attempt, outcome: &outcome, attempts_max: config.attempts_max };
    match store.change(&config.store, &task.id, &finish).await.map_err(no_store)? {
        Finished::Done => Ok(None),
        Finished::Reject(reason) => Ok(Some(reason)),
        Finished::Again => Err(again(&task.id, attempt, &outcome)),
        Finished::Stale => Err(Failure::retry(format_args!(
            "task {}: another attempt began during attempt {attempt}",
            task.id
        ))),
    }
}

fn again(id: &TaskId, attempt: u32, outcome: &background_tasks::Outcome) -> Failure {
    let reason = match outcome {
        background_tasks::Outcome::Again(reason) => reason,
        _ => "it has no result",
    };
    Failure::retry(format_args!("task {id}, attempt {attempt}: {reason}"))
}

/// Whether the task is not kept any more. A letter that was sent back has a new time.
fn is_expired(record: &Record, retention_ms: u64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let written_ms = record.timestamp_ms().and_then(|time| u64::try_from(time).ok());
    let expiry_ms = written_ms.map(|written_ms| written_ms.saturating_add(retention_ms));
    expiry_ms.is_some_and(|expiry_ms| u128::from(expiry_ms) < now.as_millis())
}

fn no_store(reason: String) -> Failure {
    Failure::retry(format_args!("Valkey: {reason}"))
}
