//! Makes a request a task.

use std::time::{SystemTime, UNIX_EPOCH};

use background_tasks::{
    Accepted, Created, Origin, PREFERENCE_APPLIED, Preferences, RESPOND_ASYNC, State, TaskId,
    TaskRecord, TaskRequest, Transition,
};
use guest_http::{Answer, Request, problem, read_body, report};
use guest_kafka::{Record, send};
use http::{HeaderValue, StatusCode, header};
use intake::request::{IDEMPOTENCY_KEY, TRACEPARENT, context};
use intake::{IntakeError, Problem};
use sale::Violation;
use spin_sdk::wasip3::random::random::get_random_u64;

use crate::answers::{no_store, status};
use crate::front::Front;

pub async fn accept(front: &Front, request: Request, preferences: Preferences) -> Answer {
    let is_preferred = preferences.respond_async;
    match write(front, request, preferences).await {
        Ok((id, state)) => accepted(front, &id, state, is_preferred),
        Err(failure) => problem(&failure),
    }
}

/// Stores the task, and then writes its record. It exists before the worker can have the record, so that
/// a key belongs to one request. Until the broker has confirmed the record, it is `pending`.
async fn write(
    front: &Front,
    request: Request,
    preferences: Preferences,
) -> Result<(TaskId, State), Problem> {
    let Front { config, keys, store } = front;
    let (head, body) = request.into_parts();
    let context = context(&head.headers)?;
    let subject = front.subject(&head.headers)?;
    let body = read_body(&head, body, config.body_bytes_max).await?;
    let origin = match &context.idempotency_key {
        Some(key) => Origin::Key(key),
        None => Origin::Random(random()),
    };
    let id = keys.id(&subject, origin);
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let request = TaskRequest::new(head.method, path, head.headers, preferences, body);
    let digest = request.digest();
    let record = TaskRecord { id, subject, created_ms: now_ms(), request };
    let value = record
        .to_json()
        .map_err(|error| Problem::from(Violation::new("headers", error.to_string())))?;
    let TaskRecord { id, subject, .. } = record;
    let create = Transition::Create { digest: &digest, subject: &subject };
    match store.change(&config.store, &id, &create).await.map_err(no_store)? {
        Created::New | Created::Same(State::Pending) => {}
        Created::Same(state) => return Ok((id, state)),
        Created::Other => return Err(key_taken().into()),
    }
    let mut headers = vec![(IDEMPOTENCY_KEY.to_owned(), id.as_str().as_bytes().to_vec())];
    headers.extend(context.traceparent.map(|value| (TRACEPARENT.to_owned(), value.into_bytes())));
    let key = Some(id.as_str().as_bytes().to_vec());
    let record = Record { topic: config.topic.clone(), key, value, headers };
    send(vec![record]).await.inspect_err(report)?;
    // The task is accepted in any case. The worker changes its state, too.
    let accepted = store.change::<Accepted>(&config.store, &id, &Transition::Accept).await;
    match accepted {
        Ok(Accepted) => Ok((id, State::Queued)),
        Err(reason) => {
            report(&IntakeError::Unavailable(reason));
            Ok((id, State::Pending))
        }
    }
}

fn accepted(front: &Front, id: &TaskId, state: State, is_preferred: bool) -> Answer {
    let prefix = &front.config.prefix;
    let known = background_tasks::TaskStatus::new(id, state, prefix);
    let mut answer = status(StatusCode::ACCEPTED, &known);
    let headers = answer.headers_mut();
    // An id and a path without special characters are valid in a header.
    if let Ok(location) = HeaderValue::try_from(format!("{prefix}/{id}")) {
        headers.insert(header::LOCATION, location);
    }
    if is_preferred {
        headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static(RESPOND_ASYNC));
    }
    answer
}

fn key_taken() -> IntakeError {
    let text = "the idempotency key belongs to another request; send this one with another key";
    IntakeError::KeyTaken(text.into())
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    let numbers = [get_random_u64(), get_random_u64()].map(u64::to_be_bytes);
    bytes.iter_mut().zip(numbers.as_flattened()).for_each(|(own, byte)| *own = *byte);
    bytes
}

/// The time in milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
