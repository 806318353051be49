//! Answers and problems about tasks.

use background_tasks::TaskStatus;
use guest_http::{Answer, answer, report};
use http::{HeaderValue, StatusCode, header};
use intake::{IntakeError, Problem, RETRY_AFTER_SECONDS};

/// The status of a task, with `Retry-After` if it may change.
pub fn status(code: StatusCode, status: &TaskStatus) -> Answer {
    let mut answer = uncached(answer(code, "application/json", status.to_json()));
    if !status.state.is_last() {
        answer.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
    }
    answer
}

/// The answer, which no cache stores.
pub fn uncached(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The problem while Valkey cannot be used, which is logged with the reason.
pub fn no_store(reason: String) -> Problem {
    report(&IntakeError::Unavailable(reason));
    let detail = "the states of tasks are not available now; retry later";
    let kind = "urn:doorbuster:problem:unavailable";
    Problem::new(kind, StatusCode::SERVICE_UNAVAILABLE, detail)
}

/// The problem for a task that does not exist, has expired, or belongs to another subject.
pub fn unknown_task() -> Problem {
    let detail = "there is no such task, it has expired, or it belongs to another subject";
    Problem::new("urn:doorbuster:problem:not-found", StatusCode::NOT_FOUND, detail)
}

/// The problem for a request that the client may not send.
pub fn forbidden(detail: String) -> Problem {
    Problem::new("urn:doorbuster:problem:forbidden", StatusCode::FORBIDDEN, detail)
}

/// The problem for a task whose state does not permit the request.
pub fn wrong_state(detail: String) -> Problem {
    Problem::new("urn:doorbuster:problem:task-state", StatusCode::CONFLICT, detail)
}
