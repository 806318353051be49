//! Requests to the next hop.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use http::{HeaderName, StatusCode, header};
use intake::IntakeError;
use intake::hop_times::SERVER_TIMING;
use intake::request::content_length;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{
    ErrorCode, Request as HostRequest, RequestOptions, Response as HostResponse,
};
use spin_sdk::wasip3::wit_future;

use crate::body::{Answer, FullBody, from_fields, to_fields};
use crate::read::{Incoming, ReadError};
use crate::write::{internal, write};

/// The headers and trailers of a response that the components use.
const NEEDED_HEADERS: [HeaderName; 5] = [
    header::CONTENT_LENGTH,
    header::RETRY_AFTER,
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    SERVER_TIMING,
];

/// The limits of a request, and where its outcome is.
pub struct SendLimits {
    /// The longest wait for the head of the response, and for each part of its body.
    pub wait_max: Duration,
    /// The longest body of a response, in bytes.
    pub answer_bytes_max: usize,
    /// Where the response contains the outcome.
    pub outcome: Outcome,
}

/// Where a response contains its outcome.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// In its status: headers and body of a successful response are not read.
    InStatus,
    /// In its status and headers: the body of a successful response is not read.
    InHead,
    /// In its body, which is read also after success.
    InBody,
    /// In its trailers, after the body, which is read to the end.
    InTrailers,
}

/// Sends a request and reads the response to the end.
pub async fn send(
    request: http::Request<Bytes>,
    limits: &SendLimits,
) -> Result<Answer, IntakeError> {
    let (head, body) = request.into_parts();
    let failed = |error| send_error(&head.uri, error);
    let (outgoing, work) = write(body.into()).map_err(failed)?;
    let headers = to_fields(&head.headers).map_err(|e| failed(internal(e)))?;
    let options = Some(options(limits.wait_max).map_err(failed)?);
    let (request, _sent) = HostRequest::new(headers, outgoing.contents, outgoing.trailers, options);
    set_target(&request, &head).map_err(|()| failed(ErrorCode::HttpRequestUriInvalid))?;
    let response = match select(pin!(client::send(request)), pin!(work)).await {
        Either::Left((response, _unsent)) => response,
        Either::Right(((), sending)) => sending.await,
    };
    receive(response.map_err(failed)?, limits).await.map_err(|e| match e {
        ReadError::TooLarge => {
            IntakeError::Other(format!("{}: the response is too long", head.uri))
        }
        ReadError::Broken(error) => failed(error),
    })
}

fn options(wait_max: Duration) -> Result<RequestOptions, ErrorCode> {
    let nanoseconds = u64::try_from(wait_max.as_nanos()).ok();
    let options = RequestOptions::new();
    options.set_first_byte_timeout(nanoseconds).map_err(internal)?;
    options.set_between_bytes_timeout(nanoseconds).map_err(internal)?;
    Ok(options)
}

fn set_target(request: &HostRequest, head: &http::request::Parts) -> Result<(), ()> {
    request.set_method(&head.method.clone().into())?;
    request.set_scheme(head.uri.scheme().map(Into::into).as_ref())?;
    request.set_authority(head.uri.authority().map(http::uri::Authority::as_str))?;
    request.set_path_with_query(head.uri.path_and_query().map(http::uri::PathAndQuery::as_str))
}

async fn receive(response: HostResponse, limits: &SendLimits) -> Result<Answer, ReadError> {
    let mut answer = Answer::default();
    let status = StatusCode::from_u16(response.get_status_code());
    *answer.status_mut() = status.unwrap_or(StatusCode::BAD_GATEWAY);
    if limits.outcome == Outcome::InStatus && answer.status().is_success() {
        return Ok(answer);
    }
    *answer.headers_mut() = from_fields(&response.get_headers(), &NEEDED_HEADERS);
    if limits.outcome == Outcome::InHead && answer.status().is_success() {
        return Ok(answer);
    }
    let announced =
        content_length(answer.headers()).filter(|_| limits.outcome != Outcome::InTrailers);
    let (_read, result) = wit_future::new(|| Ok(()));
    let (contents, trailers) = HostResponse::consume_body(response, result);
    let incoming = Incoming { contents, trailers, announced };
    let (data, trailers) = incoming.read(limits.answer_bytes_max).await?;
    let trailers = trailers.map(|fields| from_fields(&fields, &NEEDED_HEADERS)).unwrap_or_default();
    *answer.body_mut() = FullBody { data: data.into(), trailers };
    Ok(answer)
}

/// The error for a sale whose request got no response.
fn send_error(url: &http::Uri, error: ErrorCode) -> IntakeError {
    match error {
        ErrorCode::HttpRequestDenied => IntakeError::Other(format!(
            "{url} is not allowed; add it to the component's allowed_outbound_hosts"
        )),
        ErrorCode::HttpRequestUriInvalid => IntakeError::Other(format!("{url} is not a valid URL")),
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => IntakeError::TimedOut(format!("{url}: {error}")),
        other => IntakeError::Unavailable(format!("{url}: {other}")),
    }
}
