//! The students of a university over HTTP, in PostgreSQL. The crate `students` determines what a request
//! asks for and what is answered; this component connects it to HTTP and to `spin:postgres`.

mod answers;
mod store;

use guest_http::{Answer, IncomingBody, Request, read_body};
use http::request::Parts;
use http::{StatusCode, header};
use intake::Problem;
use intake::request::{check_body, check_media_type};
use students::sql::ANY_VERSION;
use students::{BODY_BYTES_MAX, Enrolment, IfMatch, Operation, Page, Route, Student};

use answers::{changed, content, deleted, healthy, insert, no_student, refusal, was_changed};
use store::Store;

guest_http::handler!(respond, guest_http::Headers::All);

async fn respond(request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let route = match Route::find(head.uri.path()) {
        Ok(route) => route,
        Err(unknown) => return refusal(&unknown),
    };
    perform(route, &head, body).await.unwrap_or_else(|reason| {
        let mut answer = refusal(&reason);
        if reason.status() == StatusCode::METHOD_NOT_ALLOWED {
            insert(&mut answer, header::ALLOW, &route.methods().join(", "));
        }
        answer
    })
}

async fn perform(route: Route, head: &Parts, body: IncomingBody) -> Result<Answer, Problem> {
    let query = head.uri.query().unwrap_or_default();
    match route.operation(&head.method, query)? {
        Operation::Read(page) => read_page(head, page).await,
        Operation::ReadOne(id) => match Store::open().await?.find(id).await? {
            Some((student, _)) => content(head, student.to_json()).await,
            None => Err(no_student(id)),
        },
        Operation::Create => {
            let student = read_student(head, body, None).await?;
            let id = Store::open().await?.create(&student).await?;
            let mut answer = changed(StatusCode::CREATED, &Student { id: Some(id), ..student });
            insert(&mut answer, header::LOCATION, &format!("/students/{id}"));
            Ok(answer)
        }
        Operation::Replace(id) => {
            let student = read_student(head, body, Some(id)).await?;
            let store = Store::open().await?;
            let version = required_version(&store, head, id).await?;
            match store.replace(id, &student, version).await? {
                true => Ok(changed(StatusCode::OK, &student)),
                false if version == ANY_VERSION => Err(no_student(id)),
                false => Err(was_changed(id)),
            }
        }
        Operation::Delete(id) => {
            let store = Store::open().await?;
            let version = required_version(&store, head, id).await?;
            match store.delete(id, version).await? {
                false if version != ANY_VERSION => Err(was_changed(id)),
                // A student who does not exist is no failure: the request may repeat one that was
                // performed, but whose answer was lost.
                _ => Ok(deleted()),
            }
        }
        Operation::CountEnrolment => {
            let report = Store::open().await?.count_enrolment().await?;
            content(head, Enrolment::to_json(&report)).await
        }
        // All servers have the same database, so a server is no less healthy than others without it.
        Operation::CheckHealth => Ok(healthy()),
    }
}

async fn read_page(head: &Parts, page: Page) -> Result<Answer, Problem> {
    let list = Store::open().await?.page(page).await?;
    let mut answer = content(head, students::json(&list)).await?;
    if let Some(next) = students::link(page, &list) {
        insert(&mut answer, header::LINK, &next);
    }
    Ok(answer)
}

async fn read_student(
    head: &Parts,
    body: IncomingBody,
    id: Option<i64>,
) -> Result<Student, Problem> {
    check_media_type(&head.headers, &["application/json"])?;
    check_body(&head.headers, BODY_BYTES_MAX)?;
    let body = read_body(head, body, BODY_BYTES_MAX).await?;
    Ok(Student::from_json(&body, id)?)
}

/// The version of the row that a change requires, from the condition of the request.
async fn required_version(store: &Store, head: &Parts, id: i64) -> Result<i64, Problem> {
    let Some(condition) = IfMatch::find(&head.headers) else { return Ok(ANY_VERSION) };
    match store.find(id).await? {
        Some((student, version)) if condition.permits(&student.to_json()) => Ok(version),
        _ => Err(was_changed(id)),
    }
}
