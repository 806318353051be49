//! `GET /api/v1/events`: the figures and the state of the pipeline as server-sent events.

use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use figures::{Etag, Snapshot};
use futures::StreamExt as _;
use futures::stream::unfold;
use guest_http::{Answer, BodyStream, Reply};
use guest_tasks::now_ms;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use intake::Problem;
use spin_sdk::time::sleep;

use crate::pipeline;
use crate::shared::Latest;
use crate::viewers::{Frame, INTERVAL_MS, ViewerSlot, interval_ms, latest};

/// The duration of one response. The client then sends another request on the same connection. The
/// time is short enough for the host to end within its 10 s for open requests, and well below the
/// 30 s after which the host drops an instance that continues to work without new requests.
const LIFE_MS: u64 = 8_000;

/// The longest time between two events.
const BEAT_MS: u64 = 2_000;

/// How long a client waits before its next request, in milliseconds.
const RETRY_MS: u32 = 250;

/// Begins a stream. The response to HEAD has no events.
pub fn answer(method: &Method) -> Result<Reply, Problem> {
    if *method == Method::HEAD {
        let mut response = Answer::default();
        set_headers(response.headers_mut());
        return Ok(response.into());
    }
    let viewer = Viewer::new(ViewerSlot::take()?);
    let events = unfold(viewer, Viewer::next).boxed_local();
    let mut response: Response<BodyStream> = Response::new(events);
    set_headers(response.headers_mut());
    Ok(Reply::Streamed(response))
}

fn set_headers(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Makes proxies such as nginx pass the response on without buffering.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}

/// A client that receives events.
struct Viewer {
    begun_ms: u64,
    /// When the last event was sent; 0 if only the `retry` field was sent, `None` if nothing was.
    sent_ms: Option<u64>,
    /// The tag of the figures that were sent last; `None` while there are no figures.
    etag: Option<Etag>,
    /// When the state of the pipeline was read that was sent last; `None` if none was sent.
    pipeline_ms: Option<u64>,
    _slot: ViewerSlot,
}

impl Viewer {
    fn new(slot: ViewerSlot) -> Self {
        Self { begun_ms: now_ms(), sent_ms: None, etag: None, pipeline_ms: None, _slot: slot }
    }

    /// The next event, as soon as there is one to send; `None` at the end of the stream.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if self.sent_ms.is_none() {
            self.sent_ms = Some(0);
            return Some((format!("retry: {RETRY_MS}\n\n").into(), self));
        }
        while now_ms().saturating_sub(self.begun_ms) < LIFE_MS {
            pipeline::refresh();
            if let Some(event) = latest().await.and_then(|latest| self.event(&latest)) {
                self.sent_ms = Some(now_ms());
                return Some((event, self));
            }
            if let Some(event) = self.pipeline_event() {
                return Some((event, self));
            }
            sleep(self.pause()).await;
        }
        None
    }

    /// The time until an event may be due.
    fn pause(&self) -> Duration {
        let beat_ms = BEAT_MS.saturating_sub(self.silent_ms()).max(INTERVAL_MS);
        Duration::from_millis(interval_ms().min(beat_ms))
    }

    /// The time since the last event.
    fn silent_ms(&self) -> u64 {
        now_ms().saturating_sub(self.sent_ms.unwrap_or_default())
    }

    fn event(&mut self, latest: &Rc<Latest<Frame>>) -> Option<Bytes> {
        let silent_ms = self.silent_ms();
        match &latest.outcome {
            Ok(frame) if self.etag.as_ref() != Some(&frame.etag) => {
                // At most one event in an interval, no matter when other viewers read.
                if silent_ms < interval_ms() {
                    return None;
                }
                self.etag = Some(frame.etag.clone());
                Some(frame.event.clone())
            }
            Ok(frame) => (silent_ms >= BEAT_MS)
                .then(|| format!("event: unchanged\ndata: {{\"time_ms\":{}}}\n\n", frame.time_ms))
                .map(Bytes::from),
            Err(problem) => {
                // The first of several consecutive failures is sent at once, the others at the
                // interval of `BEAT_MS`.
                let first = self.etag.take().is_some() || self.sent_ms == Some(0);
                (first || silent_ms >= BEAT_MS).then(|| failure("unavailable", problem))
            }
        }
    }

    /// The event with the state of the pipeline, if it was read since the last one.
    fn pipeline_event(&mut self) -> Option<Bytes> {
        let latest = pipeline::known()?;
        if self.pipeline_ms.replace(latest.read_ms) == Some(latest.read_ms) {
            return None;
        }
        match &latest.outcome {
            Ok(state) => {
                let json = String::from_utf8_lossy(state.as_ref()?);
                Some(format!("event: pipeline\ndata: {json}\n\n").into())
            }
            Err(problem) => Some(failure("pipeline-unavailable", problem)),
        }
    }
}

/// The event with the figures.
pub fn figures(snapshot: &Snapshot) -> Bytes {
    let Snapshot { time_ms, etag, json } = snapshot;
    let mut event = format!("event: figures\nid: {}\ndata: ", etag.as_str().trim_matches('"'));
    // The figures are a JSON object on one line. The time becomes its first member.
    let members = String::from_utf8_lossy(json);
    let members = members.strip_prefix('{').unwrap_or("}");
    // Writing to a `String` cannot fail.
    let _written = write!(event, "{{\"time_ms\":{time_ms},{members}\n\n");
    event.into()
}

/// The event with the reason why there are no figures, or no state of the pipeline.
fn failure(name: &str, problem: &Problem) -> Bytes {
    let json = problem.to_json();
    format!("event: {name}\ndata: {}\n\n", String::from_utf8_lossy(&json)).into()
}
