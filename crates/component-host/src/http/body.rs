//! Gathers small bodies into one piece: one read for the guest, one write for the socket.

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::Body;
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
