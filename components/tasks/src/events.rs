//! The changes of a task as server-sent events.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use background_tasks::{TaskId, TaskStatus};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::unfold;
use guest_http::{Answer, BodyStream, Reply};
use guest_tasks::now_ms;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use intake::Problem;
use spin_sdk::time::sleep;

use crate::answers::uncached;
use crate::front::Front;
use crate::resources::read_status;

/// The most viewers of one instance, and those of one subject.
const VIEWERS_MAX: usize = 200;
const VIEWERS_OF_SUBJECT_MAX: usize = 20;

/// The time between two reads. The reads of all viewers of an instance share round trips.
const INTERVAL: Duration = Duration::from_millis(500);

/// The duration of one response; the client then sends another request. It is shorter than the time
/// within which a host ends open requests.
const LIFE_MS: u64 = 8_000;

/// The longest time without an event or a comment.
const BEAT_MS: u64 = 2_000;

/// How long a client waits before its next request, in milliseconds.
const RETRY_MS: u32 = 250;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

thread_local! {
    /// The viewers of each subject.
    static VIEWERS: RefCell<BTreeMap<String, usize>> = const { RefCell::new(BTreeMap::new()) };
}

/// Counts a viewer until it is dropped.
struct Slot {
    subject: String,
}

impl Slot {
    fn take(subject: &str) -> Result<Self, Problem> {
        VIEWERS.with_borrow_mut(|viewers| {
            let of_subject = viewers.get(subject).copied().unwrap_or(0);
            // Clients without a subject cannot be distinguished.
            let is_one_too_many = !subject.is_empty() && of_subject >= VIEWERS_OF_SUBJECT_MAX;
            if is_one_too_many || viewers.values().sum::<usize>() >= VIEWERS_MAX {
                let detail = "too many clients wait for events; retry later";
                let kind = "urn:doorbuster:problem:overloaded";
                return Err(Problem::new(kind, StatusCode::TOO_MANY_REQUESTS, detail));
            }
            viewers.insert(subject.into(), of_subject + 1);
            Ok(Self { subject: subject.into() })
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        VIEWERS.with_borrow_mut(|viewers| {
            let of_subject = viewers.remove(&self.subject).unwrap_or(0);
            if of_subject > 1 {
                viewers.insert(std::mem::take(&mut self.subject), of_subject - 1);
            }
        });
    }
}

/// Begins a stream. A client that has seen the last state gets no more events.
pub async fn answer(
    front: &'static Front,
    id: TaskId,
    subject: String,
    headers: &HeaderMap,
) -> Result<Reply, Problem> {
    let slot = Slot::take(&subject)?;
    let status = read_status(front, &id, &subject).await?;
    let seen = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()?.parse().ok());
    if status.state.is_last() && seen == Some(status.version) {
        // The client must not ask again.
        let mut answer = Answer::default();
        *answer.status_mut() = StatusCode::NO_CONTENT;
        return Ok(uncached(answer).into());
    }
    let viewer = Viewer {
        front,
        id,
        subject,
        seen,
        status: Some(status),
        begun_ms: now_ms(),
        sent_ms: None,
        has_ended: false,
        _slot: slot,
    };
    let events: BodyStream = unfold(viewer, Viewer::next).boxed_local();
    let mut response = Response::new(events);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Makes proxies such as nginx pass the response on without buffering.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(Reply::Streamed(response))
}

/// A client that receives events.
struct Viewer {
    front: &'static Front,
    id: TaskId,
    subject: String,
    /// The version of the status that was sent last.
    seen: Option<u64>,
    /// A status that was read and not compared yet.
    status: Option<TaskStatus>,
    begun_ms: u64,
    /// When the last event or comment was sent; `None` before the first.
    sent_ms: Option<u64>,
    has_ended: bool,
    _slot: Slot,
}

impl Viewer {
    /// The next event, as soon as there is one; `None` at the end of the stream.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        let Some(sent_ms) = self.sent_ms else {
            self.sent_ms = Some(now_ms());
            return Some((format!("retry: {RETRY_MS}\n\n").into(), self));
        };
        while !self.has_ended && now_ms().saturating_sub(self.begun_ms) < LIFE_MS {
            let status = match self.status.take() {
                Some(status) => Ok(status),
                None => {
                    sleep(INTERVAL).await;
                    read_status(self.front, &self.id, &self.subject).await
                }
            };
            let event = match status {
                Ok(status) => {
                    self.has_ended = status.state.is_last();
                    let is_new = self.seen.replace(status.version) != Some(status.version);
                    is_new.then(|| status.to_event())
                }
                Err(problem) if problem.status() == StatusCode::NOT_FOUND => return None,
                // The log has the reason.
                Err(_) => None,
            };
            let is_silent = now_ms().saturating_sub(sent_ms) >= BEAT_MS;
            if let Some(event) = event.or_else(|| is_silent.then(|| ":\n\n".into())) {
                self.sent_ms = Some(now_ms());
                return Some((event.into(), self));
            }
        }
        None
    }
}
