//! Gathers small bodies into one piece: one read for the guest, one write for the socket. Reads
//! what nobody wants.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, Limited};
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

/// The announced length, if it is at most `bytes_max`.
pub(crate) fn small_length(headers: &HeaderMap, bytes_max: u64) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    (length <= bytes_max).then_some(length)
}

/// Reads a body of announced length to its end; none if it breaks off, or is longer or shorter.
pub(crate) async fn gather<B>(body: B, length: u64) -> Option<WasiBody>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<HttpError>,
{
    let limit = usize::try_from(length).ok()?;
    let whole = Limited::new(body.map_err(Into::into), limit).collect().await.ok()?;
    let trailers = whole.trailers().cloned().map(Ok);
    let bytes = whole.to_bytes();
    if bytes.len() != limit {
        return None;
    }
    let body = Full::new(bytes).map_err(|never| match never {});
    Some(match trailers {
        None => body.boxed_unsync(),
        Some(_) => body.with_trailers(std::future::ready(trailers)).boxed_unsync(),
    })
}

/// Longest rest of a body that is read for nobody, and the time that its client gets for it. Past
/// either its connection is closed.
const REST_BYTES_MAX: u64 = 1 << 20;
const REST_LIMIT: Duration = Duration::from_secs(5);

/// A client's body. If it was answered before all of it was read, the rest is read for nobody: the
/// client, which still sends, would else find its connection broken instead of the answer.
pub(crate) struct Whole<B>(Option<B>)
where
    B: Body + Send + Unpin + 'static;

impl<B: Body + Send + Unpin + 'static> Whole<B> {
    /// This body.
    pub fn new(body: B) -> Self {
        Self(Some(body))
    }
}

impl<B: Body + Send + Unpin + 'static> Body for Whole<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.0.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl<B: Body + Send + Unpin + 'static> Drop for Whole<B> {
    fn drop(&mut self) {
        let is_small = |body: &B| body.size_hint().upper().is_some_and(|max| max <= REST_BYTES_MAX);
        let rest = self.0.take().filter(|body| !body.is_end_stream() && is_small(body));
        // Without a runtime there is no connection any more.
        if let (Some(mut rest), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(REST_LIMIT, async move {
                while let Some(Ok(_)) = rest.frame().await {}
            }));
        }
    }
}
