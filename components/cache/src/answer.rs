//! Responses with `Cache-Status`.

use bytes::Bytes;
use guest_http::{FullBody, changed_response, next, problem, response_head, send_answer};
use http::{HeaderMap, HeaderValue, Response as HttpResponse, StatusCode};
use intake::Problem;
use response_cache::{CACHE_STATUS, Status};
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

/// Passes a request on as it is, and returns the response with `Cache-Status`, and its head.
pub async fn next_with_status(
    request: Request,
    status: Status,
) -> Result<(Response, HttpResponse<()>), ErrorCode> {
    let response = next(request).await?;
    let head = response_head(&response)?;
    Ok((with_status(response, &head, status)?, head))
}

/// A response of the component behind, with `Cache-Status` in addition.
pub fn with_status(
    response: Response,
    head: &HttpResponse<()>,
    status: Status,
) -> Result<Response, ErrorCode> {
    let mut changes = HeaderMap::new();
    for value in head.headers().get_all(CACHE_STATUS) {
        changes.append(CACHE_STATUS, value.clone());
    }
    append_status(&mut changes, status);
    changed_response(response, &changes)
        .map_err(|error| ErrorCode::InternalError(Some(error.to_string())))
}

/// A complete answer.
pub fn send(answer: HttpResponse<Bytes>) -> Result<Response, ErrorCode> {
    send_answer(answer.map(FullBody::from))
}

/// The answer to a request that must not be passed on, if there is no stored response for it
/// (RFC 9111, 5.2.1.7).
pub fn not_cached() -> Result<Response, ErrorCode> {
    let detail = "there is no stored response, and the request has `only-if-cached`";
    let kind = "urn:doorbuster:problem:not-cached";
    send_answer(problem(&Problem::new(kind, StatusCode::GATEWAY_TIMEOUT, detail)))
}

/// Adds `Cache-Status`.
pub fn append_status(headers: &mut HeaderMap, status: Status) {
    // It consists of words and numbers.
    if let Ok(value) = HeaderValue::try_from(status.to_string()) {
        headers.append(CACHE_STATUS, value);
    }
}
