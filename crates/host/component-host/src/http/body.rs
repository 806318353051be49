//! The bodies of requests with their time limits, and small bodies that are passed on in one piece:
//! with one read by the guest and one write to the socket.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, header, request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::Error as HttpError;

use super::problem::Problem;
use crate::whole::{CollectError, WholeBody};

/// The announced length, if it is at most `bytes_max`.
pub(crate) fn small_length(headers: &HeaderMap, bytes_max: u64) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    (length <= bytes_max).then_some(length)
}

/// Reads a body of announced length to its end. The error is the one of the body, or `None` if the body is
/// longer or shorter.
pub(crate) async fn gather<B>(body: B, length: u64) -> Result<WholeBody, Option<HttpError>>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<HttpError>,
{
    let length = usize::try_from(length).map_err(|_| None)?;
    let whole = WholeBody::collect(body, length).await.map_err(|error| match error {
        CollectError::Broken(error) => Some(error),
        CollectError::TooLong => None,
    })?;
    if whole.data.len() == length { Ok(whole) } else { Err(None) }
}

/// Whether a body was interrupted by another server from which a component passes it on.
pub(crate) fn is_interrupted_elsewhere(error: &HttpError) -> bool {
    matches!(
        error,
        HttpError::Hyper(_)
            | HttpError::HttpProtocolError
            | HttpError::HttpResponseIncomplete
            | HttpError::HttpResponseTimeout
            | HttpError::ConnectionReadTimeout
            | HttpError::ConnectionTerminated
    )
}

/// The most bytes of an unread body that are read and dropped, and the time limit for that. If
/// either is exceeded, the connection is closed.
const REST_BYTES_MAX: u64 = 1 << 20;
const REST_LIMIT: Duration = Duration::from_secs(5);

/// The state of a request's body. It is put into the extensions of the request, for the code that
/// answers it.
#[derive(Clone, Default)]
pub(crate) struct BodyWatch(Arc<Watch>);

#[derive(Default)]
struct Watch {
    fault: AtomicU8,
    answered: AtomicBool,
}

const LATE: u8 = 1;
const BROKEN: u8 = 2;

impl BodyWatch {
    /// The client's error, if there was one.
    pub fn problem(&self) -> Option<Problem> {
        match self.0.fault.load(Ordering::Relaxed) {
            LATE => Some(Problem::LateBody),
            BROKEN => Some(Problem::BadBody),
            _ => None,
        }
    }

    /// Notes that the request is answered: from now on the body may take any time as long as it
    /// makes progress.
    pub fn answered(&self) {
        self.0.answered.store(true, Ordering::Relaxed);
    }

    fn set(&self, fault: u8) {
        self.0.fault.store(fault, Ordering::Relaxed);
    }
}

/// A client's body: reading it ends with an error if the client does not send it in time. If the
/// request is answered before all of the body was read, the rest is read and dropped. Otherwise the
/// client, which is still sending, would find its connection broken instead of the answer.
pub struct RequestBody {
    body: Option<Incoming>,
    /// Whether the client still waits for `100 Continue` before it sends the body. The first read
    /// sends that response.
    awaits_continue: bool,
    watch: BodyWatch,
    limit: Duration,
    /// Since when data is awaited.
    since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    /// The body of the request with this head. A state for it is added to the extensions of the
    /// head.
    pub(super) fn new(body: Incoming, head: &mut request::Parts, limit: Duration) -> Self {
        let watch = BodyWatch::default();
        head.extensions.insert(watch.clone());
        let awaits_continue = expects_continue(&head.headers);
        Self { body: Some(body), awaits_continue, watch, limit, since: None, sleep: None }
    }

    /// Whether the client exceeded the time limit.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let until = *self.since.get_or_insert_with(Instant::now) + self.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if sleep.deadline() < until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx).is_ready()
    }
}

/// Whether the client waits for `100 Continue` before it sends the body.
pub(crate) fn expects_continue(headers: &HeaderMap) -> bool {
    let expected = headers.get(header::EXPECT);
    expected.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        this.awaits_continue = false;
        match Pin::new(body).poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => {
                this.watch.set(BROKEN);
                this.body = None;
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(frame) => {
                if this.watch.0.answered.load(Ordering::Relaxed) {
                    this.since = None;
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending if this.is_late(cx) => {
                this.watch.set(LATE);
                this.body = None;
                Poll::Ready(Some(Err(HttpError::ConnectionReadTimeout)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let is_small = |body: &Incoming| {
            !body.is_end_stream()
                && body.size_hint().upper().is_some_and(|max| max <= REST_BYTES_MAX)
        };
        // A client that still waits for `100 Continue` has sent no body that would have to be read.
        let rest = self.body.take().filter(|body| !self.awaits_continue && is_small(body));
        // Without a runtime, the connection does not exist any more either.
        if let (Some(mut rest), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(REST_LIMIT, async move {
                while let Some(Ok(_)) = rest.frame().await {}
            }));
        }
    }
}
