//! Answers with entity tags, and answers for problems.

use figures::Etag;
use guest_http::{Answer, Variable, answer, problem, report};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use intake::{IntakeError, Problem};
use students::Student;

const JSON: &str = "application/json";

/// What clients and caches may do with students that they have read.
static CACHE_CONTROL: Variable = Variable::new("cache_control");

/// The value without the variable.
const CACHE_CONTROL_DEFAULT: &str = "private, no-cache";

/// The answer with what was read, or 304 if the client already has it.
pub async fn content(head: &Parts, json: Vec<u8>) -> Result<Answer, Problem> {
    let control = CACHE_CONTROL.find().await.map_err(|error| {
        report(&error);
        no_settings()
    })?;
    let control = control.unwrap_or(CACHE_CONTROL_DEFAULT);
    let etag = Etag::new(&json);
    let mut fields = head.headers.get_all(header::IF_NONE_MATCH).iter();
    let is_known = fields.any(|field| field.to_str().is_ok_and(|field| etag.matches(field)));
    let mut content =
        if is_known { empty(StatusCode::NOT_MODIFIED) } else { answer(StatusCode::OK, JSON, json) };
    insert(&mut content, header::CACHE_CONTROL, control);
    insert(&mut content, header::ETAG, etag.as_str());
    Ok(content)
}

/// The answer with a student who was changed.
pub fn changed(status: StatusCode, student: &Student) -> Answer {
    let json = student.to_json();
    let etag = Etag::new(&json);
    let mut changed = answer(status, JSON, json);
    insert(&mut changed, header::ETAG, etag.as_str());
    changed
}

/// The answer to a request that deleted a student.
pub fn deleted() -> Answer {
    empty(StatusCode::NO_CONTENT)
}

/// The answer of a service that runs.
pub fn healthy() -> Answer {
    let mut healthy = empty(StatusCode::NO_CONTENT);
    insert(&mut healthy, header::CACHE_CONTROL, "no-store");
    healthy
}

/// The answer for a problem.
pub fn refusal(reason: &Problem) -> Answer {
    let mut refusal = problem(reason);
    insert(&mut refusal, header::CACHE_CONTROL, "no-store");
    refusal
}

/// The problem for a student who does not exist.
pub fn no_student(id: i64) -> Problem {
    let detail = format!("there is no student {id}");
    Problem::new("urn:doorbuster:problem:not-found", StatusCode::NOT_FOUND, detail)
}

/// The problem for a student who does not have the state that `If-Match` requires.
pub fn was_changed(id: i64) -> Problem {
    let detail =
        format!("student {id} was changed or deleted; nothing was changed by this request");
    Problem::new("urn:university:problem:precondition", StatusCode::PRECONDITION_FAILED, detail)
        .with_field(header::IF_MATCH.as_str())
}

/// The problem for a setting that is missing or cannot be read. The log has the reason.
pub fn no_settings() -> Problem {
    let detail = "the settings of this service are not valid";
    Problem::new("urn:doorbuster:problem:downstream", StatusCode::BAD_GATEWAY, detail)
}

/// Sets a header. A value that is not valid in a header is left out.
pub fn insert(answer: &mut Answer, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => drop(answer.headers_mut().insert(name, value)),
        Err(_) => report(&IntakeError::Other(format!("`{value}` is not valid as {name}"))),
    }
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}
