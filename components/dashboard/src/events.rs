//! `GET /api/v1/events`: the figures as server-sent events.

use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use figures::{Etag, Snapshot};
use futures::StreamExt as _;
use futures::stream::unfold;
use guest_http::{Answer, Pieces, Reply};
use guest_tasks::now_ms;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use intake::Problem;
use spin_sdk::time::sleep;

use crate::viewers::{INTERVAL_MS, Latest, Place, latest};

/// How long one answer lasts. The client then asks again, on the same connection. Short enough
/// for the host to stop within its 10 s for open requests, and well below the 30 s after which it
/// drops an instance that works on without new requests.
const LIFE_MS: u64 = 8_000;

/// Longest silence.
const BEAT_MS: u64 = 2_000;

/// How long a client waits before it asks again, in milliseconds.
const RETRY_MS: u32 = 250;

/// Begins a stream. An answer to HEAD has no events.
pub fn answer(method: &Method) -> Result<Reply, Problem> {
    if *method == Method::HEAD {
        let mut response = Answer::default();
        set_headers(response.headers_mut());
        return Ok(response.into());
    }
    let viewer = Viewer::new(Place::take()?);
    let events = unfold(viewer, Viewer::next).boxed_local();
    let mut response: Response<Pieces> = Response::new(events);
    set_headers(response.headers_mut());
    Ok(Reply::InPieces(response))
}

fn set_headers(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Proxies that gather answers, nginx for one, pass this one on as it comes.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}

/// A client that reads events.
struct Viewer {
    begun_ms: u64,
    /// When the last event was sent; none before the first.
    sent_ms: Option<u64>,
    /// The figures that were sent last; none while there are none.
    etag: Option<Etag>,
    _place: Place,
}

impl Viewer {
    fn new(place: Place) -> Self {
        Self { begun_ms: now_ms(), sent_ms: None, etag: None, _place: place }
    }

    /// The next event, when there is something to say; none at the end of the stream.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if self.sent_ms.is_none() {
            self.sent_ms = Some(0);
            return Some((format!("retry: {RETRY_MS}\n\n").into(), self));
        }
        while now_ms().saturating_sub(self.begun_ms) < LIFE_MS {
            if let Some(event) = latest().await.and_then(|latest| self.event(&latest)) {
                self.sent_ms = Some(now_ms());
                return Some((event, self));
            }
            sleep(Duration::from_millis(INTERVAL_MS)).await;
        }
        None
    }

    fn event(&mut self, latest: &Rc<Latest>) -> Option<Bytes> {
        let silent_ms = now_ms().saturating_sub(self.sent_ms.unwrap_or_default());
        match &latest.outcome {
            Ok(frame) if self.etag.as_ref() != Some(&frame.etag) => {
                // At most one event in an interval, however the reads of others fall.
                if silent_ms < INTERVAL_MS {
                    return None;
                }
                self.etag = Some(frame.etag.clone());
                Some(frame.event.clone())
            }
            Ok(frame) => (silent_ms >= BEAT_MS)
                .then(|| format!("event: unchanged\ndata: {{\"time_ms\":{}}}\n\n", frame.time_ms))
                .map(Bytes::from),
            Err(problem) => {
                // The first of a row of failures at once, then no more than the beat.
                let first = self.etag.take().is_some() || self.sent_ms == Some(0);
                (first || silent_ms >= BEAT_MS).then(|| failure(problem))
            }
        }
    }
}

/// The figures as an event.
pub fn figures(snapshot: &Snapshot) -> Bytes {
    let Snapshot { time_ms, etag, json } = snapshot;
    let mut event = format!("event: figures\nid: {}\ndata: ", etag.as_str().trim_matches('"'));
    // The figures are a JSON object on one line: the time becomes its first member.
    let members = String::from_utf8_lossy(json);
    let members = members.strip_prefix('{').unwrap_or("}");
    // Writing to a string cannot fail.
    let _written = write!(event, "{{\"time_ms\":{time_ms},{members}\n\n");
    event.into()
}

/// Why there are no figures, as an event.
fn failure(problem: &Problem) -> Bytes {
    let json = problem.to_json();
    format!("event: unavailable\ndata: {}\n\n", String::from_utf8_lossy(&json)).into()
}
