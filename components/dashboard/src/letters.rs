//! The dead letters, which the process at `metrics_url` lists and sends back.

use std::time::Duration;

use bytes::Bytes;
use figures::reject_parameters;
use guest_http::{Answer, IncomingBody, Outcome, SendLimits, answer, read_body, send};
use guest_tasks::within;
use hops::{check_letters, check_replay_request, letters_unanswered, letters_url, no_letters};
use http::request::{Builder, Parts};
use http::{HeaderValue, Request, StatusCode, header};
use intake::Problem;
use intake::request::check;

use crate::log::Log;
use crate::pipeline::METRICS_URL;

/// How long the process may take. It answers within 10 s.
const LIMIT: Duration = Duration::from_secs(11);

const LIMITS: SendLimits =
    SendLimits { wait_max: LIMIT, answer_bytes_max: 1 << 20, outcome: Outcome::InBody };

/// The most bytes of a request to send letters back.
const REQUEST_BYTES_MAX: usize = 1_024;

const JSON: &str = "application/json";

thread_local! {
    static LOG: Log = const { Log::new() };
}

/// The newest open letters.
pub async fn list() -> Result<Answer, Problem> {
    exchange(Request::get, Bytes::new()).await
}

/// Sends letters back. Only requests with the content type of JSON are accepted, which a browser
/// does not send to another site without asking it first.
pub async fn replay(head: &Parts, body: IncomingBody) -> Result<Answer, Problem> {
    check(&head.method, &head.headers, &[JSON], REQUEST_BYTES_MAX)?;
    reject_parameters(head.uri.query().unwrap_or_default())?;
    check_replay_request(&read_body(head, body, REQUEST_BYTES_MAX).await?)?;
    let request = |url| Request::post(format!("{url}/replay")).header(header::CONTENT_TYPE, JSON);
    exchange(request, Bytes::from_static(b"{}")).await
}

async fn exchange(request: impl FnOnce(String) -> Builder, body: Bytes) -> Result<Answer, Problem> {
    let failed = |error: &dyn std::fmt::Display| {
        LOG.with(|log| log.note(format_args!("the dead letters cannot be read: {error}")));
        letters_unanswered()
    };
    let metrics_url = METRICS_URL.find().await.map_err(|error| failed(&error))?;
    let url = letters_url(metrics_url.unwrap_or_default()).ok_or_else(no_letters)?;
    let request = request(url).body(body).map_err(|error| failed(&error))?;
    let received = within(LIMIT, send(request, &LIMITS)).await;
    let received = received.ok_or_else(|| failed(&format_args!("no answer within {LIMIT:?}")))?;
    let received = received.map_err(|error| failed(&error))?;
    let (status, json) = (received.status(), received.into_body().data);
    check_letters(status, &json).inspect_err(|problem| {
        if problem.status().is_server_error() {
            failed(&format_args!("the answer is {status}: {}", problem.detail));
        }
    })?;
    let mut response = answer(StatusCode::OK, JSON, json);
    let headers = response.headers_mut();
    // Letters contain data of customers, which no cache may keep.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}
