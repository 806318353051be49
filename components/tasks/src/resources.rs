//! The resources of tasks: their states, and the answers of the service.

use background_tasks::{
    Cancelled, RESULT_FIELDS, Resource, STATUS_FIELDS, State, StoredAnswer, TaskId, TaskStatus,
    Transition,
};
use bytes::Bytes;
use guest_http::{Answer, Reply, Request, problem};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use intake::Problem;
use intake::request::{method_not_allowed, unknown_path};
use sale::Violation;

use crate::answers::{no_store, status, uncached, unknown_task, wrong_state};
use crate::front::Front;
use crate::{events, progress};

/// Answers a request about a task.
pub async fn respond(front: &'static Front, resource: Resource, request: Request) -> Reply {
    if resource == Resource::Ambiguous {
        let reason = "must not have empty, `.` or `..` segments, or escapes with another meaning";
        return problem(&Violation::new("path", reason).into()).into();
    }
    let (method, methods) = (request.method().clone(), resource.methods());
    if methods.is_empty() {
        return problem(&unknown_path(request.uri().path())).into();
    }
    if !methods.contains(&method.as_str()) {
        let mut answer = problem(&method_not_allowed(methods));
        if let Ok(allow) = HeaderValue::try_from(methods.join(", ")) {
            answer.headers_mut().insert(header::ALLOW, allow);
        }
        return answer.into();
    }
    match handle(front, resource, request).await {
        Ok(Reply::Full(mut answer)) if method == Method::HEAD => {
            answer.body_mut().data = Bytes::new();
            answer.into()
        }
        Ok(reply) => reply,
        Err(failure) => problem(&failure).into(),
    }
}

async fn handle(
    front: &'static Front,
    resource: Resource,
    request: Request,
) -> Result<Reply, Problem> {
    if let Resource::Progress(id) = resource {
        return progress::note(front, &id, request).await.map(Into::into);
    }
    let subject = front.subject(request.headers())?;
    match resource {
        Resource::Status(id) if request.method() == Method::DELETE => {
            cancel(front, &id, &subject).await.map(Into::into)
        }
        Resource::Status(id) => {
            let read = read_status(front, &id, &subject).await?;
            Ok(status(StatusCode::OK, &read).into())
        }
        Resource::Answer(id) => result(front, &id, &subject).await.map(Into::into),
        Resource::Events(id) => events::answer(front, id, subject, request.headers()).await,
        Resource::Progress(_) | Resource::Unknown | Resource::Ambiguous => Err(unknown_task()),
    }
}

/// The status of a task of this subject.
pub async fn read_status(front: &Front, id: &TaskId, subject: &str) -> Result<TaskStatus, Problem> {
    let fields = front.store.fields(&front.config.store, id, &STATUS_FIELDS).await;
    let fields = fields.map_err(no_store)?;
    TaskStatus::read(id, subject, &front.config.prefix, fields).ok_or_else(unknown_task)
}

async fn cancel(front: &Front, id: &TaskId, subject: &str) -> Result<Answer, Problem> {
    let cancel = Transition::Cancel { subject };
    let cancelled = front.store.change(&front.config.store, id, &cancel).await;
    let code = match cancelled.map_err(no_store)? {
        Cancelled::Missing => return Err(unknown_task()),
        Cancelled::Is(State::Cancelled) => StatusCode::OK,
        Cancelled::Is(state) if state.is_last() => {
            return Err(wrong_state(format!("the task has ended: it has {state}")));
        }
        // The worker has begun.
        Cancelled::Is(_) => StatusCode::ACCEPTED,
    };
    Ok(status(code, &read_status(front, id, subject).await?))
}

/// The answer of the service, as it was.
async fn result(front: &Front, id: &TaskId, subject: &str) -> Result<Answer, Problem> {
    let fields = front.store.fields(&front.config.store, id, &RESULT_FIELDS).await;
    let stored = StoredAnswer::read(subject, fields.map_err(no_store)?);
    match stored.ok_or_else(unknown_task)? {
        StoredAnswer::Complete(code, headers, body) => Ok(complete(code, headers, body)),
        StoredAnswer::Missing(state) => {
            Err(wrong_state(format!("the task has no result: it is {state}")))
        }
    }
}

fn complete(code: StatusCode, headers: HeaderMap, body: Bytes) -> Answer {
    let length = HeaderValue::from(body.len());
    let mut answer = Answer::new(body.into());
    *answer.status_mut() = code;
    *answer.headers_mut() = headers;
    if !matches!(code, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        answer.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    uncached(answer)
}
