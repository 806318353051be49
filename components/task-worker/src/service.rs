//! Sends the request of a task to the service.

use std::time::SystemTime;

use background_tasks::{
    Answer, Failure as NoAnswer, Outcome, TASK_ATTEMPT, TASK_ID, TASK_TOKEN, TaskRecord,
    WorkerConfig,
};
use bytes::Bytes;
use guest_http::send_streamed;
use guest_http::whole::types::{Request, Response, ResponseLimits, SendError};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_text::{from_lines, to_lines};
use intake::request::IDEMPOTENCY_KEY;
use spin_kafka_sdk::Failure;

/// Sends the request. A service recognises a repeated one by its `Idempotency-Key`, the id of the task.
pub async fn send(
    config: &WorkerConfig,
    task: &TaskRecord,
    attempt: u32,
    token: &str,
    timeout_ms: u32,
) -> Result<Outcome, Failure> {
    let url = &config.service_url;
    let request = &task.request;
    let sent = Request {
        method: request.method.as_str().into(),
        path_with_query: request.path_with_query.clone(),
        scheme: url.scheme_str().map(Into::into),
        authority: url.authority().map(|authority| authority.as_str().into()),
        headers: to_lines(&headers(task, attempt, token), |_| true),
        body: request.body.to_vec(),
        trailers: Vec::new(),
    };
    let limits = ResponseLimits { timeout_ms, body_bytes_max: config.result_bytes_max };
    match send_streamed(sent, limits).await {
        Ok(response) => Ok(Outcome::of(answered(response), SystemTime::now())),
        Err(SendError::Denied) => Err(Failure::fatal(format_args!(
            "{url} is not allowed; add it to the component's allowed_outbound_hosts"
        ))),
        Err(error) => Ok(Outcome::of(Err(failure(&error)), SystemTime::now())),
    }
}

fn headers(task: &TaskRecord, attempt: u32, token: &str) -> HeaderMap {
    let mut headers = task.request.headers.clone();
    // An id and a token are valid in a header.
    let id = HeaderValue::try_from(task.id.as_str());
    if let (Ok(id), Ok(token)) = (id, HeaderValue::try_from(token)) {
        headers.insert(IDEMPOTENCY_KEY, id.clone());
        headers.insert(TASK_ID, id);
        headers.insert(TASK_TOKEN, token);
    }
    headers.insert(TASK_ATTEMPT, attempt.into());
    headers
}

fn answered(response: Response) -> Result<Answer, NoAnswer> {
    let status = StatusCode::from_u16(response.status).map_err(|_| NoAnswer::Interrupted)?;
    let headers = from_lines(&Bytes::from(response.headers)).ok_or(NoAnswer::Interrupted)?;
    Ok(Answer { status, headers, body: response.body.into() })
}

fn failure(error: &SendError) -> NoAnswer {
    match error {
        SendError::ResponseTimeout => NoAnswer::TimedOut,
        SendError::ResponseTooLarge => NoAnswer::TooLong,
        SendError::InvalidRequest(_) => NoAnswer::InvalidRequest,
        SendError::Interrupted | SendError::Other(_) => NoAnswer::Interrupted,
        SendError::Denied
        | SendError::NameNotFound
        | SendError::Unreachable
        | SendError::ConnectionRefused
        | SendError::ConnectionTimeout
        | SendError::CertificateNotTrusted
        | SendError::TlsFailed
        | SendError::ConnectionLimit => NoAnswer::Unreachable,
    }
}
