//! The body of an answer that its component streams.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

/// A streamed body. Reading it ends with an error if the component sends no part of it in time. It
/// counts as a request of the component until it is dropped, and as interrupted if it ends with an
/// error.
pub(super) struct StreamedBody {
    body: WasiBody,
    _permit: OwnedSemaphorePermit,
    component: Arc<str>,
    limit: Duration,
    interrupted: Counter,
    awaits: Awaited,
    sleep: Pin<Box<Sleep>>,
}

/// What the body waits for.
#[derive(PartialEq, Eq)]
enum Awaited {
    /// The client reads the parts that were sent.
    Client,
    /// The component sends the next part.
    Component,
}

impl StreamedBody {
    pub fn new(
        body: WasiBody,
        permit: OwnedSemaphorePermit,
        component: &Arc<str>,
        limit: Duration,
        interrupted: &Counter,
    ) -> Self {
        let sleep = Box::pin(tokio::time::sleep(limit));
        let (component, interrupted) = (component.clone(), interrupted.clone());
        let awaits = Awaited::Client;
        Self { body, _permit: permit, component, limit, interrupted, awaits, sleep }
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        if self.awaits == Awaited::Client {
            self.awaits = Awaited::Component;
            self.sleep.as_mut().reset(Instant::now() + self.limit);
        }
        self.sleep.as_mut().poll(cx).is_ready()
    }
}

impl Body for StreamedBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_ready() {
            this.awaits = Awaited::Client;
            if matches!(polled, Poll::Ready(Some(Err(_)))) {
                this.interrupted.inc();
            }
            return polled;
        }
        if !this.is_late(cx) {
            return Poll::Pending;
        }
        this.interrupted.inc();
        let (component, limit) = (&*this.component, this.limit);
        tracing::warn!(
            component,
            ?limit,
            "the component sent no part of its answer; it is cut off"
        );
        Poll::Ready(Some(Err(HttpError::HttpResponseTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc;
    use futures::{FutureExt as _, StreamExt as _};
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::sync::Semaphore;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_component_that_sends_nothing_more_is_cut_off() {
        let (parts, sent) = mpsc::unbounded::<Bytes>();
        let body = StreamBody::new(sent.map(|part| Ok::<_, HttpError>(Frame::data(part))));
        let permits = Arc::new(Semaphore::new(1));
        let permit = permits.clone().try_acquire_owned().unwrap();
        let (body, interrupted) = (body.boxed_unsync(), Counter::default());
        let mut body = StreamedBody::new(body, permit, &"slow".into(), LIMIT, &interrupted);
        for _ in 0..3 {
            assert!(body.frame().now_or_never().is_none());
            tokio::time::advance(LIMIT - Duration::from_secs(1)).await;
            parts.unbounded_send("part".into()).unwrap();
            assert!(body.frame().await.unwrap().is_ok());
            // The client reads nothing for a long time, which is not the component's fault.
            tokio::time::advance(2 * LIMIT).await;
        }
        assert_eq!(interrupted.get(), 0);
        let begun = Instant::now();
        let cut = body.frame().await.unwrap();
        assert!(matches!(cut, Err(HttpError::HttpResponseTimeout)), "{cut:?}");
        assert_eq!((begun.elapsed(), interrupted.get()), (LIMIT, 1));
        assert_eq!(permits.available_permits(), 0);
        drop(body);
        assert_eq!(permits.available_permits(), 1);
    }

    #[tokio::test]
    async fn an_answer_that_ends_with_an_error_is_interrupted() {
        let parts = [Ok(Frame::data(Bytes::from("part"))), Err(HttpError::HttpProtocolError)];
        let body = StreamBody::new(futures::stream::iter(parts)).boxed_unsync();
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let interrupted = Counter::default();
        let mut body = StreamedBody::new(body, permit, &"guest".into(), LIMIT, &interrupted);
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(interrupted.get(), 0);
        assert!(body.frame().await.unwrap().is_err());
        assert_eq!(interrupted.get(), 1);
    }
}
