//! The body of a response on its way through middleware: complete, or a stream from another server.

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use http_text::BODY_BYTES_MAX;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use super::whole::Complete;
use crate::http::body::small_length;
use crate::whole::WholeBody;

/// The body of a response.
pub(crate) enum ResponseBody {
    Whole(WholeBody),
    Streamed(WasiBody),
}

impl Default for ResponseBody {
    fn default() -> Self {
        Self::Whole(WholeBody::default())
    }
}

impl From<WholeBody> for ResponseBody {
    fn from(body: WholeBody) -> Self {
        Self::Whole(body)
    }
}

impl ResponseBody {
    /// The body, if it is complete.
    pub fn whole(&self) -> Option<&WholeBody> {
        match self {
            Self::Whole(body) => Some(body),
            Self::Streamed(_) => None,
        }
    }

    /// Receives the body completely, if it has at most this many bytes, or the limit of the host. `None` if
    /// it is longer; then it remains what it was. `headers` are those of the response. After an error
    /// nothing remains.
    pub async fn receive(
        &mut self,
        headers: &HeaderMap,
        bytes_max: u64,
    ) -> Result<Option<&WholeBody>, HttpError> {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX).min(BODY_BYTES_MAX);
        let is_announced_longer = headers.contains_key(http::header::CONTENT_LENGTH)
            && small_length(headers, bytes_max as u64).is_none();
        if !is_announced_longer && let Self::Streamed(body) = self {
            *self = receive(std::mem::take(body), bytes_max).await?;
        }
        Ok(self.whole().filter(|body| body.data.len() <= bytes_max))
    }
}

/// Reads a stream to its end, or until it is too long.
async fn receive(mut body: WasiBody, bytes_max: usize) -> Result<ResponseBody, HttpError> {
    let (mut data, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(piece) => data.extend_from_slice(&piece),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
        if data.len() > bytes_max {
            let received = stream::iter([Ok(Frame::data(Bytes::from(data)))]);
            let rest = StreamBody::new(received.chain(BodyStream::new(body)));
            return Ok(ResponseBody::Streamed(rest.boxed_unsync()));
        }
    }
    Ok(ResponseBody::Whole(WholeBody { data: data.into(), trailers }))
}

/// The response for the server.
pub(super) fn into_response(response: Response<ResponseBody>) -> Response<WasiBody> {
    let (head, body) = response.into_parts();
    match body {
        ResponseBody::Whole(body) => {
            let mut response = Response::from_parts(head, body.into_body());
            response.extensions_mut().insert(Complete);
            response
        }
        ResponseBody::Streamed(body) => Response::from_parts(head, body),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONTENT_LENGTH;

    use super::*;

    /// A stream of pieces with trailers.
    fn streamed(pieces: &[&'static str]) -> ResponseBody {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Frame::data((*piece).into()))).collect();
        let mut trailers = HeaderMap::new();
        trailers.insert("t", HeaderValue::from_static("1"));
        let frames = pieces.into_iter().chain([Ok(Frame::trailers(trailers))]);
        ResponseBody::Streamed(StreamBody::new(stream::iter(frames)).boxed_unsync())
    }

    /// All of a body.
    async fn read(body: ResponseBody) -> (Bytes, bool) {
        let body = into_response(Response::new(body)).into_body().collect().await.unwrap();
        let has_trailers = body.trailers().is_some_and(|trailers| trailers.contains_key("t"));
        (body.to_bytes(), has_trailers)
    }

    #[tokio::test]
    async fn a_stream_is_received_up_to_the_limit() {
        let none = HeaderMap::new();
        let mut body = streamed(&["ab", "", "cd"]);
        assert_eq!(body.receive(&none, 4).await.unwrap().unwrap().data, "abcd");
        assert!(body.whole().is_some());
        assert_eq!(read(body).await, ("abcd".into(), true));
        // What was received is not lost.
        for limit in [0, 1, 3] {
            let mut body = streamed(&["ab", "cd", "ef"]);
            assert!(body.receive(&none, limit).await.unwrap().is_none());
            assert_eq!(body.receive(&none, 6).await.unwrap().unwrap().data, "abcdef");
            let mut body = streamed(&["ab", "cd", "ef"]);
            assert!(body.receive(&none, limit).await.unwrap().is_none());
            assert_eq!(read(body).await, ("abcdef".into(), true));
        }
        // Nothing is received if the announced length is not permitted.
        let mut announced = HeaderMap::new();
        announced.insert(CONTENT_LENGTH, HeaderValue::from_static("5"));
        let never = StreamBody::new(stream::pending::<Result<Frame<Bytes>, HttpError>>());
        let mut body = ResponseBody::Streamed(never.boxed_unsync());
        assert!(body.receive(&announced, 4).await.unwrap().is_none());
        let mut whole = ResponseBody::Whole(WholeBody { data: "abcde".into(), trailers: None });
        assert!(whole.receive(&none, 4).await.unwrap().is_none());
        assert_eq!(whole.receive(&none, 5).await.unwrap().unwrap().data, "abcde");
        // The host has a limit, too.
        let long: &'static str = "x".repeat(BODY_BYTES_MAX + 1).leak();
        assert!(streamed(&[long]).receive(&none, u64::MAX).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_interrupted_stream_is_an_error() {
        let frames = [Ok(Frame::data(Bytes::from("ab"))), Err(HttpError::ConnectionTerminated)];
        let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
        let mut body = ResponseBody::Streamed(body);
        let received = body.receive(&HeaderMap::new(), 9).await;
        assert!(matches!(received, Err(HttpError::ConnectionTerminated)));
    }
}
