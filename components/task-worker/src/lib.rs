//! Handles background tasks: sends the request of each record to a service, and stores the answer.

mod service;
mod settings;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use background_tasks::{AttemptId, Finished, Outcome, Started, TaskId, TaskRecord, Transition};
use futures::StreamExt as _;
use guest_http::report_skipped;
use guest_task_store::random;
use spin_kafka_sdk::{self as kafka, Batch, Failure, Record, Rejection};
use spin_sdk::time::sleep;

use settings::Worker;

/// How long the first change of an attempt is repeated if it fails, at most.
const START_TIME: Duration = Duration::from_secs(5);

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

    /// Until when the first change of an attempt is repeated. A third of the time limit remains for the
    /// request.
    fn start_end(self) -> Instant {
        Instant::now() + START_TIME.min(self.limit / 6)
    }

    /// The time for requests and pauses, so that something can be done after it before the time limit.
    fn rest(self) -> Duration {
        (self.limit * 5 / 6).saturating_sub(self.begun.elapsed())
    }

    /// The most milliseconds of a request, so that its result can be stored before the time limit.
    fn request_ms(self, timeout_ms: u32) -> u32 {
        let rest = self.rest().min(self.limit / 2);
        u32::try_from(rest.as_millis()).unwrap_or(u32::MAX).min(timeout_ms).max(1)
    }

    /// Until when a result is stored again if that fails; each time takes at most this long.
    fn end(self, store_timeout_ms: u32) -> Instant {
        let time = self.limit.saturating_sub(Duration::from_millis(store_timeout_ms.into()));
        self.begun + time
    }
}

#[kafka::batch]
async fn handle(batch: &Batch) -> Result<Vec<Rejection>, Failure> {
    let time = BatchTime { begun: Instant::now(), limit: batch.time_limit() };
    let worker = settings::worker().await?;
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
    let handled: Vec<_> = futures::stream::iter(handled)
        .buffer_unordered(worker.config.tasks_at_once())
        .collect()
        .await;
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
    if !time.has_room() {
        return Err(Failure::retry("there is no time left for all tasks of the batch"));
    }
    let TaskRecord { id, subject, created_ms, request } = task;
    let (subject, created_ms, digest) = (subject.as_str(), *created_ms, request.digest());
    let position = format!("{}/{}@{}", record.topic(), record.partition(), record.offset());
    let attempt_id = AttemptId::new(random());
    let attempts_max = config.attempts_max;
    let start = Transition::Start {
        digest: &digest,
        subject,
        created_ms,
        position: &position,
        record_ms: record.timestamp_ms().unwrap_or(0),
        is_expired: is_expired(record, config.store.retention_ms),
        attempt_id: &attempt_id,
        lease_ms: u64::try_from(time.limit.as_millis()).unwrap_or(u64::MAX),
        attempts_max,
    };
    let started = store.change_until(&config.store, id, &start, time.start_end()).await;
    let attempt = match started.map_err(no_store)? {
        Started::Run(attempt) => attempt,
        Started::Done => return Ok(None),
        Started::Skip(reason) => {
            report_skipped(&format_args!("task {id}, {position}: {reason}"));
            return Ok(None);
        }
        Started::Busy => {
            return Err(Failure::retry(format_args!(
                "task {id}: an attempt of another record is running"
            )));
        }
        Started::Reject(reason) => return Ok(Some(reason)),
    };
    let token = keys.token(id, &attempt_id);
    let timeout_ms = time.request_ms(config.timeout_ms);
    let (outcome, fault) = match service::send(config, task, attempt, &token, timeout_ms).await {
        Ok(outcome) => (outcome, None),
        Err(fault) => {
            let reason = "the worker may not call the service".into();
            (Outcome::Unavailable(reason, None), Some(fault))
        }
    };
    let finish = Transition::Finish {
        attempt_id: &attempt_id,
        digest: &digest,
        subject,
        created_ms,
        position: &position,
        outcome: &outcome,
        attempts_max,
        retry_ms: config.retry_ms,
    };
    let finish_end = time.end(config.store.timeout_ms);
    let finished = store.change_until(&config.store, id, &finish, finish_end).await;
    if let Some(fault) = fault {
        return Err(fault);
    }
    match finished.map_err(no_store)? {
        Finished::Done => Ok(None),
        Finished::Reject(reason) => Ok(Some(reason)),
        Finished::Again => {
            if let Outcome::Unavailable(_, Some(wait)) = outcome {
                sleep(wait.min(config.retry_after_max).min(time.rest())).await;
            }
            Err(again(id, attempt, &outcome))
        }
        Finished::Stale => Err(Failure::retry(format_args!(
            "task {id}: another attempt began during attempt {attempt}"
        ))),
    }
}

fn again(id: &TaskId, attempt: u32, outcome: &Outcome) -> Failure {
    let reason = match outcome {
        Outcome::Again(reason) | Outcome::Unavailable(reason, _) => reason,
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
