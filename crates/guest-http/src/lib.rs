//! What the HTTP components share: bounded bodies, answers with their length, variables, and
//! a limit for waiting.

use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use intake::request::{body_broken, body_too_large};
use intake::{IntakeError, Problem};

/// An answer in one piece.
pub type Answer = Response<Full<Bytes>>;

/// Reads a body to its end, unless it is longer than `bytes_max`.
pub async fn read_body<B>(body: B, bytes_max: usize) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let mut body = pin!(body);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| body_broken(&e.to_string()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if whole.len() + data.len() > bytes_max {
            return Err(body_too_large(bytes_max));
        }
        if whole.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// An answer with its length, so that the host can write it in one piece.
pub fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let body = body.into();
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, length);
    response
}

/// A problem as an answer, with the headers that its status asks for.
pub fn problem(problem: &Problem) -> Answer {
    let mut response = answer(problem.status(), intake::PROBLEM_CONTENT_TYPE, problem.to_json());
    if problem.may_pass() {
        let seconds = HeaderValue::from(intake::RETRY_AFTER_SECONDS);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    if problem.status() == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// A Spin variable, read once: it cannot change while the instance lives.
pub struct Variable {
    name: &'static str,
    value: OnceLock<String>,
}

impl Variable {
    /// The variable of this name, not read yet.
    pub const fn new(name: &'static str) -> Self {
        Self { name, value: OnceLock::new() }
    }

    /// The variable's value.
    pub async fn get(&self) -> Result<&str, IntakeError> {
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        let value = spin_sdk::variables::get(self.name)
            .await
            .map_err(|e| IntakeError::Other(format!("Spin variable `{}`: {e}", self.name)))?;
        Ok(self.value.get_or_init(|| value))
    }
}

/// Waits for `work`, but no longer than `limit`.
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut limit = pin!(spin_sdk::time::sleep(limit));
    std::future::poll_fn(|cx| {
        if let std::task::Poll::Ready(value) = work.as_mut().poll(cx) {
            return std::task::Poll::Ready(Some(value));
        }
        limit.as_mut().poll(cx).map(|()| None)
    })
    .await
}
