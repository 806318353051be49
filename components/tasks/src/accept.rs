//! Makes a request a task.

use std::time::{SystemTime, UNIX_EPOCH};

use background_tasks::{
    Accepted, Created, Origin, PREFERENCE_APPLIED, Preferences, RESPOND_ASYNC, RecordError, State,
    TaskId, TaskRecord, TaskRequest, Transition,
};
use guest_http::{Answer, Request, problem, read_body, report};
use guest_kafka::{Record, send};
use guest_task_store::random;
use http::{HeaderValue, StatusCode, header};
use intake::request::{IDEMPOTENCY_KEY, TRACEPARENT, context};
use intake::{IntakeError, Problem};
use sale::Violation;

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
        // Without a subject, a key would be everyone's.
        Some(key) if !subject.is_empty() => Origin::Key(key),
        _ => Origin::Random(random()),
    };
    let id = keys.id(&subject, origin);
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let credentials = &config.credential_headers;
    let request = TaskRequest::new(head.method, path, head.headers, preferences, credentials, body);
    let digest = request.digest();
    let record = TaskRecord { id, subject, created_ms: now_ms(), request };
    let value = record.to_json().map_err(no_record)?;
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

fn no_record(error: RecordError) -> Problem {
    let detail = error.to_string();
    if error == RecordError::TooLong {
        let kind = "urn:doorbuster:problem:too-large";
        return Problem::new(kind, StatusCode::PAYLOAD_TOO_LARGE, detail);
    }
    Violation::new("headers", detail).into()
}

fn key_taken() -> IntakeError {
    let text = "the idempotency key belongs to another request; send this one with another key";
    IntakeError::KeyTaken(text.into())
}

/// The time in milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
