//! Responses with `Cache-Status`.

use bytes::Bytes;
use guest_http::{Answer, FullBody, Intercepted, NextResponse, problem};
use http::{HeaderMap, HeaderValue, Response as HttpResponse, StatusCode};
use intake::Problem;
use response_cache::{CACHE_STATUS, Status};
use spin_sdk::wasip3::http::types::ErrorCode;

/// Passes a request on as it is, and returns the response with `Cache-Status`, and its head.
pub async fn next_with_status(
    request: Intercepted,
    status: Status,
) -> Result<(NextResponse, HttpResponse<()>), ErrorCode> {
    let response = request.pass().await?;
    let head = response.head()?;
    Ok((with_status(response, &head, status)?, head))
}

/// A response of the component behind, with `Cache-Status` in addition.
pub fn with_status(
    response: NextResponse,
    head: &HttpResponse<()>,
    status: Status,
) -> Result<NextResponse, ErrorCode> {
    let mut changes = HeaderMap::new();
    for value in head.headers().get_all(CACHE_STATUS) {
        changes.append(CACHE_STATUS, value.clone());
    }
    append_status(&mut changes, status);
    response.with_headers(changes)
}

/// A complete answer.
pub fn complete(answer: HttpResponse<Bytes>) -> Answer {
    answer.map(FullBody::from)
}

/// The answer to a request that must not be passed on, if there is no stored response for it
/// (RFC 9111, 5.2.1.7).
pub fn not_cached() -> Answer {
    let detail = "there is no stored response, and the request has `only-if-cached`";
    let kind = "urn:doorbuster:problem:not-cached";
    problem(&Problem::new(kind, StatusCode::GATEWAY_TIMEOUT, detail))
}

/// Adds `Cache-Status`.
pub fn append_status(headers: &mut HeaderMap, status: Status) {
    // It consists of words and numbers.
    if let Ok(value) = HeaderValue::try_from(status.to_string()) {
        headers.append(CACHE_STATUS, value);
    }
}
