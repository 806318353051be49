//! The state of the pipeline, which is read from the metrics at `metrics_url`.

use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use guest_http::Variable;
use guest_http_send::{ResponseLimits, send};
use hops::{Error, Pipeline};
use http::{Request, StatusCode, header};
use intake::Problem;

use crate::answers::no_metrics;
use crate::log::Log;
use crate::shared::{Latest, Shared};

/// The URL of the metrics; if it is empty, the state is not available.
pub static METRICS_URL: Variable = Variable::new("metrics_url");

/// The format that is requested, if the server has several.
const FORMAT: &str = "text/plain;version=0.0.4";

/// The shortest time between two reads.
const INTERVAL_MS: u64 = 1_000;

/// The limits of a read.
const LIMITS: ResponseLimits = ResponseLimits { timeout_ms: 2_000, body_bytes_max: 1 << 20 };

thread_local! {
    static LATEST: Rc<Shared<Option<Bytes>>> = Rc::new(Shared::new(INTERVAL_MS, INTERVAL_MS));
    static LOG: Log = const { Log::new() };
}

/// Begins a read in the background, if that is due. The task belongs to the current call, but does
/// not delay it.
pub fn refresh() {
    let shared = LATEST.with(Rc::clone);
    if shared.is_due() {
        spin_sdk::wit_bindgen::spawn(async move {
            shared.latest(read()).await;
        });
    }
}

/// The state in JSON without a read; `None` inside if there is no URL.
pub fn known() -> Option<Rc<Latest<Option<Bytes>>>> {
    LATEST.with(|shared| shared.known())
}

/// The state in JSON.
pub async fn answer() -> Result<Bytes, Problem> {
    let latest = LATEST.with(Rc::clone).latest(read()).await;
    let pending = || Error::Unavailable("another call is reading the metrics".into());
    let latest = latest.ok_or_else(|| Problem::from(&pending()))?;
    latest.outcome.clone()?.ok_or_else(no_metrics)
}

async fn read() -> Result<Option<Bytes>, Problem> {
    match fetch().await {
        Ok(state) => Ok(state.map(|state| state.to_json().into())),
        Err(error) => {
            let line = format_args!("the metrics of the pipeline cannot be read: {error}");
            LOG.with(|log| log.note(line));
            Err(Problem::from(&error))
        }
    }
}

async fn fetch() -> Result<Option<Pipeline>, Error> {
    let unavailable = |error: &dyn std::fmt::Display| Error::Unavailable(error.to_string());
    let url = METRICS_URL.find().await.map_err(|e| unavailable(&e))?.unwrap_or_default();
    if url.is_empty() {
        return Ok(None);
    }
    let request = Request::get(url).header(header::ACCEPT, FORMAT).body(Bytes::new());
    let request = request.map_err(|e| {
        unavailable(&format_args!("Spin variable `metrics_url`: `{url}` is not a valid URL: {e}"))
    })?;
    let answer = send(request, LIMITS).await.map_err(|e| unavailable(&e))?;
    if answer.status() != StatusCode::OK {
        return Err(unavailable(&format_args!("{url}: the answer is {}", answer.status())));
    }
    Pipeline::parse(&String::from_utf8_lossy(&answer.body().data), time_ms()).map(Some)
}

/// The time in milliseconds since 1970-01-01 UTC.
fn time_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
