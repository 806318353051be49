//! Creates responses with a `content-length`, and responses for problems.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use intake::{Problem, Results};
use serde_json::Value;

use crate::body::Answer;

/// A response with a `content-length`, so that the host can write it at once.
pub fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let body = body.into();
    let length = HeaderValue::from(body.len());
    let mut response = Answer::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, length);
    response
}

/// The response to several items, of which each accepted one is answered with `accepted`.
pub fn results(results: &Results, accepted: &Value) -> Answer {
    let status = results.status();
    let mut response = answer(status, "application/json", results.to_json(accepted));
    // The whole request failed for a reason that may be temporary.
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        insert_retry_after(&mut response);
    }
    response
}

/// The response for a problem, with the headers that its status requires.
pub fn problem(problem: &Problem) -> Answer {
    let mut response = answer(problem.status(), intake::PROBLEM_CONTENT_TYPE, problem.to_json());
    if problem.is_temporary() {
        insert_retry_after(&mut response);
    }
    if problem.field.as_deref() == Some(header::CONTENT_ENCODING.as_str()) {
        let plain = HeaderValue::from_static("identity");
        response.headers_mut().insert(header::ACCEPT_ENCODING, plain);
    }
    if problem.status() == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

fn insert_retry_after(response: &mut Answer) {
    let seconds = HeaderValue::from(intake::RETRY_AFTER_SECONDS);
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
}
