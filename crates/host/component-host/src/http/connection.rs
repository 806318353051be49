//! Serves one connection within its limits: HTTP/1.1, or HTTP/2 with prior knowledge.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use super::activity::{Activity, Due, OpenRequest, Times};
use super::exchange::{Handler, exchange};
use super::metrics::Refusals;

/// The longest time between two checks of a connection.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What all connections of a port share.
pub(super) struct Shared {
    pub http: auto::Builder<TokioExecutor>,
    pub handler: Handler,
    pub refusals: Arc<Refusals>,
    pub times: Times,
    pub body_timeout: Duration,
}

/// Serves a connection until it ends. When `draining` resolves, no further request is accepted.
pub(super) async fn run(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    draining: impl Future<Output = ()>,
) {
    let activity = Activity::new(shared.times);
    let service = service_fn({
        let (shared, activity) = (shared.clone(), activity.clone());
        move |request| {
            let open = activity.request();
            let Shared { handler, refusals, body_timeout, .. } = &*shared;
            let answer = exchange(handler, refusals, *body_timeout, request, peer);
            async move { Ok::<_, Infallible>(answer.await.map(|body| Sent { body, open })) }
        }
    });
    let socket = Socket { stream, activity: activity.clone() };
    let mut connection = pin!(shared.http.serve_connection(TokioIo::new(socket), service));
    let mut draining = pin!(draining);
    let mut drains = false;
    let mut sleep = pin!(tokio::time::sleep(shared.times.head));
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                if let Err(error) = result {
                    tracing::debug!(error, %peer, "connection ended");
                }
                return Poll::Ready(());
            }
            let now = Instant::now();
            let due = activity.due(now);
            let end = !drains && draining.as_mut().poll(cx).is_ready();
            drains |= end;
            if due == Due::Drop {
                tracing::debug!(%peer, "connection dropped: its client is too slow");
                return Poll::Ready(());
            }
            if end || due == Due::Close {
                activity.closing();
                connection.as_mut().graceful_shutdown();
                continue;
            }
            let Due::Wait(until) = due else { continue };
            // Most events move the limit further away. The timer is not reset for that; if it fires
            // too early, it is set again.
            let until = until.unwrap_or(now + LOOK_AGAIN);
            if sleep.is_elapsed() || until < sleep.deadline() {
                sleep.as_mut().reset(until);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

/// A socket that records whether the client reads what is written.
struct Socket {
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl Socket {
    fn written<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.activity.written(result.is_ready());
        result
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The body of an answer, which records when a part of it is sent.
struct Sent {
    body: WasiBody,
    open: OpenRequest,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let result = Pin::new(&mut self.body).poll_frame(cx);
        self.open.part_waits(matches!(result, Poll::Ready(Some(Ok(_)))));
        result
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
