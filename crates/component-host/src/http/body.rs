//! Gathers small bodies into one piece: one read for the guest, one write for the socket.

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::Body;
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

/// The announced length, if it is at most `bytes_max`.
pub(crate) fn small_length(headers: &HeaderMap, bytes_max: u64) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    (length <= bytes_max).then_some(length)
}

/// Reads a body of announced length to its end. A body that is longer or shorter is an error.
pub(crate) async fn gather<B>(body: B, length: u64) -> Result<WasiBody, HttpError>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<HttpError>,
{
    let limit = usize::try_from(length).unwrap_or(usize::MAX);
    let limited = http_body_util::Limited::new(body.map_err(Into::into), limit);
    let whole = limited.collect().await.map_err(|e| match e.downcast::<HttpError>() {
        Ok(error) => *error,
        Err(_) => HttpError::HttpRequestBodySize(Some(length)),
    })?;
    // Trailers, if any, are kept by the collected body.
    Ok(whole.map_err(|never| match never {}).boxed_unsync())
}
