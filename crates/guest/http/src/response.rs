//! Responses of the next component: their heads, and their bodies if they are short enough.

use http::{HeaderMap, Response, StatusCode};
use spin_sdk::wasip3::http::types::{ErrorCode, Response as HostResponse};
use spin_sdk::wasip3::wit_future;

use intake::request::content_length;

use crate::body::{FullBody, all_fields};
use crate::outline::{complete, continued, read_some};
use crate::write::internal;

/// The bytes by which the memory for a body grows.
const GROWTH_BYTES: usize = 64 << 10;

/// The head of a response.
pub(crate) fn response_head(response: &HostResponse) -> Result<Response<()>, ErrorCode> {
    let status = StatusCode::from_u16(response.get_status_code());
    let mut head = Response::new(());
    *head.status_mut() = status.map_err(internal)?;
    *head.headers_mut() = all_fields(&response.get_headers());
    Ok(head)
}

/// A response whose body was read, if it is short enough.
pub enum Received<R> {
    /// The complete body.
    Complete(FullBody),
    /// The response as it was, because its body is longer than permitted.
    TooLong(R),
}

impl<R> Received<R> {
    pub(crate) fn map<T>(self, convert: impl FnOnce(R) -> T) -> Received<T> {
        match self {
            Self::Complete(body) => Received::Complete(body),
            Self::TooLong(response) => Received::TooLong(convert(response)),
        }
    }
}

/// Reads the body of a response if it is at most `bytes_max` long. `headers` are those of the
/// response. A body that is not as long as announced is an error.
pub(crate) async fn receive_response(
    response: HostResponse,
    headers: &HeaderMap,
    bytes_max: usize,
) -> Result<Received<HostResponse>, ErrorCode> {
    let announced = content_length(headers);
    if announced.is_some_and(|announced| announced > bytes_max as u64) {
        return Ok(Received::TooLong(response));
    }
    let (status, fields) = (response.get_status_code(), response.get_headers().clone());
    let (_read, result) = wit_future::new(|| Ok(()));
    let (mut contents, trailers) = HostResponse::consume_body(response, result);
    let announced_bytes = announced.and_then(|announced| usize::try_from(announced).ok());
    let mut data = Vec::with_capacity(announced_bytes.unwrap_or_default());
    loop {
        let (piece, ended) = read_some(&mut contents).await;
        // Many bodies are received at the same time, so none has twice the memory that it needs.
        if data.capacity() - data.len() < piece.len() {
            data.reserve_exact(piece.len().max(GROWTH_BYTES));
        }
        data.extend(piece);
        if data.len() > bytes_max {
            let contents = continued(data, (!ended).then_some(contents));
            let (response, _sent) = HostResponse::new(fields, Some(contents), trailers);
            let refused = |()| internal("the host refuses the status");
            response.set_status_code(status).map_err(refused)?;
            return Ok(Received::TooLong(response));
        }
        if ended {
            break;
        }
    }
    data.shrink_to_fit();
    let trailers = trailers.await?;
    if announced.is_some_and(|announced| announced != data.len() as u64) {
        return Err(ErrorCode::HttpResponseIncomplete);
    }
    Ok(Received::Complete(complete(data, trailers)))
}
