//! The dead letters, which the process at `metrics_url` lists and sends back.

use std::fmt::Display;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use figures::reject_parameters;
use guest_http::{Answer, IncomingBody, answer, read_body};
use guest_http_send::{ResponseLimits, send};
use guest_tasks::within;
use hops::{
    check_authority, check_letters, check_replay_request, letters_unanswered, letters_url,
    no_letters,
};
use http::request::{Builder, Parts};
use http::{HeaderValue, Request, StatusCode, header};
use intake::Problem;
use intake::request::check;
use spin_sdk::time::sleep;

use crate::answers::{failure, post_failure};
use crate::log::Log;
use crate::pipeline::METRICS_URL;
use crate::shared::Shared;

/// How long the process may take. It answers within 10 s.
const LIMIT: Duration = Duration::from_millis(LIMITS.timeout_ms as u64);

const LIMITS: ResponseLimits = ResponseLimits { timeout_ms: 11_000, body_bytes_max: 1 << 20 };

/// The most bytes of a request to send letters back.
const REQUEST_BYTES_MAX: usize = 1_024;

const JSON: &str = "application/json";

/// The shortest time between two requests for the list, of which all clients of the instance get the
/// answer.
const INTERVAL_MS: u64 = 1_000;

/// How often a client that waits for the answer of another one's request looks for it.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

thread_local! {
    static LATEST: Rc<Shared<Bytes, Failure>> = Rc::new(Shared::new(INTERVAL_MS, INTERVAL_MS));
    static LOG: Log = const { Log::new() };
}

/// Why a request failed.
#[derive(Clone)]
struct Failure {
    problem: Problem,
    /// When the process permits the next request.
    retry_after: Option<HeaderValue>,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self { problem, retry_after: None }
    }
}

impl Failure {
    /// Adds the time to a response for the problem.
    fn complete(self, mut response: Answer) -> Answer {
        if let Some(pause) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, pause);
        }
        response
    }
}

/// The newest open letters.
pub async fn list(body: &IncomingBody) -> Answer {
    match shared_list(body.authority()).await {
        Ok(json) => success(json),
        Err(failed) => {
            let response = failure(&failed.problem);
            failed.complete(response)
        }
    }
}

async fn shared_list(authority: Option<String>) -> Result<Bytes, Failure> {
    let metrics_url = metrics_url(authority).await?;
    let shared = LATEST.with(Rc::clone);
    let wait = async {
        loop {
            let read = exchange(metrics_url, Request::get, Bytes::new());
            match shared.latest(read).await {
                Some(latest) => return latest.outcome.clone(),
                None => sleep(LOOK_INTERVAL).await,
            }
        }
    };
    within(LIMIT, wait).await.unwrap_or_else(|| Err(busy().into()))
}

/// Sends letters back. Only requests with the content type of JSON are accepted: for a page of
/// another site, a browser first sends a preflight request, which this API does not permit.
pub async fn replay(head: &Parts, body: IncomingBody) -> Answer {
    match send_back(head, body).await {
        Ok(json) => success(json),
        Err(failed) => {
            let mut response = post_failure(&failed.problem);
            // Sending again without the result of the first run may send letters twice. Only the
            // process knows when that cannot happen.
            response.headers_mut().remove(header::RETRY_AFTER);
            failed.complete(response)
        }
    }
}

async fn send_back(head: &Parts, body: IncomingBody) -> Result<Bytes, Failure> {
    check(&head.method, &head.headers, &[JSON], REQUEST_BYTES_MAX)?;
    reject_parameters(head.uri.query().unwrap_or_default()).map_err(Problem::from)?;
    let authority = body.authority();
    check_replay_request(&read_body(head, body, REQUEST_BYTES_MAX).await?)?;
    let metrics_url = metrics_url(authority).await?;
    let request = |url| Request::post(format!("{url}/replay")).header(header::CONTENT_TYPE, JSON);
    exchange(metrics_url, request, Bytes::from_static(b"{}")).await
}

/// The URL of the metrics, if a request with this authority may get the letters.
async fn metrics_url(authority: Option<String>) -> Result<&'static str, Problem> {
    let url = METRICS_URL.find().await.map_err(|error| unanswered(&error))?.unwrap_or_default();
    check_authority(url, authority.as_deref())?;
    Ok(url)
}

async fn exchange(
    metrics_url: &str,
    request: impl FnOnce(String) -> Builder,
    body: Bytes,
) -> Result<Bytes, Failure> {
    let url = letters_url(metrics_url).ok_or_else(no_letters)?;
    let request = request(url).body(body).map_err(|error| unanswered(&error))?;
    let mut received = send(request, LIMITS).await.map_err(|error| unanswered(&error))?;
    let retry_after = received.headers_mut().remove(header::RETRY_AFTER);
    let (status, json) = (received.status(), received.into_body().data);
    match check_letters(status, &json) {
        Ok(()) => Ok(json),
        Err(problem) => {
            if problem.status().is_server_error() {
                log(&format_args!("the answer is {status}: {}", problem.detail));
            }
            Err(Failure { problem, retry_after })
        }
    }
}

/// The problem if the process does not answer, which is logged.
fn unanswered(error: &dyn Display) -> Problem {
    log(error);
    letters_unanswered()
}

fn log(error: &dyn Display) {
    LOG.with(|log| log.note(format_args!("the dead letters cannot be read: {error}")));
}

/// The problem if another call of the instance reads the list, and none is known.
fn busy() -> Problem {
    let detail = "another request reads the dead letters; try again";
    Problem::new("urn:doorbuster:problem:busy", StatusCode::SERVICE_UNAVAILABLE, detail)
}

fn success(json: Bytes) -> Answer {
    let mut response = answer(StatusCode::OK, JSON, json);
    let headers = response.headers_mut();
    // Letters contain data of customers, which no cache may keep.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
