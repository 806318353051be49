//! Complete requests and responses over `wasi:http`, for hosts that do not provide
//! `doorbuster:http/client`.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use guest_tasks::within;
use http::{HeaderMap, Method, Uri};
use http_text::{
    BODY_BYTES_MAX, FIELDS_BYTES_MAX, check_size, complete_length, from_lines, request_target,
};
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{
    ErrorCode, Fields, HeaderError, Request as HostRequest, RequestOptions,
    Response as HostResponse,
};
use spin_sdk::wasip3::wit_future;

use crate::body::{FullBody, to_fields};
use crate::read::{Incoming, ReadError};
use crate::whole::types::{Request, Response, ResponseLimits, SendError};
use crate::write::write;

/// Sends a request through `wasi:http/client` and reads the complete response.
pub async fn send_streamed(
    request: Request,
    limits: ResponseLimits,
) -> Result<Response, SendError> {
    let timeout = Duration::from_millis(limits.timeout_ms.into());
    let bytes_max = usize::try_from(limits.body_bytes_max).unwrap_or(usize::MAX);
    let (head, body) = convert(request).map_err(|fault| SendError::InvalidRequest(fault.into()))?;
    let exchange = exchange(head, body, timeout, bytes_max.min(BODY_BYTES_MAX));
    within(timeout, exchange).await.unwrap_or(Err(SendError::ResponseTimeout))
}

/// The head of a request.
struct Head {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

fn convert(request: Request) -> Result<(Head, FullBody), &'static str> {
    check_size(request.body.len(), request.headers.len(), request.trailers.len())?;
    let (method, uri) = request_target(
        &request.method,
        request.scheme.as_deref(),
        request.authority.as_deref(),
        &request.path_with_query,
    )?;
    let fields = |lines: Vec<u8>| from_lines(&lines.into()).ok_or("an invalid field");
    let (mut headers, trailers) = (fields(request.headers)?, fields(request.trailers)?);
    complete_length(&mut headers, request.body.len())?;
    Ok((Head { method, uri, headers }, FullBody { data: request.body.into(), trailers }))
}

async fn exchange(
    head: Head,
    body: FullBody,
    timeout: Duration,
    bytes_max: usize,
) -> Result<Response, SendError> {
    let headers = to_fields(&head.headers).map_err(refused)?;
    let (outgoing, work) = write(body).map_err(refused)?;
    let options = options(timeout).map_err(|e| SendError::Other(e.to_string()))?;
    let (request, _sent) =
        HostRequest::new(headers, outgoing.contents, outgoing.trailers, Some(options));
    set_target(&request, &head).map_err(|()| {
        SendError::InvalidRequest("a method or URL that the host does not support".into())
    })?;
    // A server may answer before it has read the request. The request is sent until the response is
    // complete.
    let received =
        async { receive(client::send(request).await.map_err(failure)?, bytes_max).await };
    match select(pin!(received), pin!(work)).await {
        Either::Left((response, _unsent)) => response,
        Either::Right(((), received)) => received.await,
    }
}

/// The names and values of the fields are valid at this point.
fn refused(error: HeaderError) -> SendError {
    SendError::InvalidRequest(match error {
        HeaderError::Forbidden => "a field that only the host sets".into(),
        other => format!("fields that the host refuses: {other}"),
    })
}

fn options(timeout: Duration) -> Result<RequestOptions, impl std::fmt::Display> {
    let options = RequestOptions::new();
    let nanoseconds = u64::try_from(timeout.as_nanos()).ok();
    options.set_first_byte_timeout(nanoseconds)?;
    options.set_between_bytes_timeout(nanoseconds).map(|()| options)
}

fn set_target(request: &HostRequest, head: &Head) -> Result<(), ()> {
    request.set_method(&head.method.clone().into())?;
    request.set_scheme(head.uri.scheme().map(Into::into).as_ref())?;
    request.set_authority(head.uri.authority().map(http::uri::Authority::as_str))?;
    request.set_path_with_query(head.uri.path_and_query().map(http::uri::PathAndQuery::as_str))
}

async fn receive(response: HostResponse, bytes_max: usize) -> Result<Response, SendError> {
    let status = response.get_status_code();
    let headers = lines(&response.get_headers());
    let (_read, result) = wit_future::new(|| Ok(()));
    let (contents, trailers) = HostResponse::consume_body(response, result);
    // The trailers follow the end of the body, so it is always read to its end.
    let incoming = Incoming { contents, trailers, announced: None };
    let (body, trailers) = incoming.read(bytes_max).await.map_err(|error| match error {
        ReadError::TooLarge => SendError::ResponseTooLarge,
        // The server has sent the head, so it has received the request.
        ReadError::Broken(ErrorCode::ConnectionReadTimeout | ErrorCode::HttpResponseTimeout) => {
            SendError::ResponseTimeout
        }
        ReadError::Broken(_) => SendError::Interrupted,
    })?;
    let trailers = trailers.map(|fields| lines(&fields)).unwrap_or_default();
    if headers.len() + trailers.len() > FIELDS_BYTES_MAX {
        return Err(SendError::ResponseTooLarge);
    }
    Ok(Response { status, headers, body, trailers })
}

fn lines(fields: &Fields) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in fields.copy_all() {
        lines.extend(name.to_ascii_lowercase().bytes());
        lines.extend(b": ");
        lines.extend(value);
        lines.extend(b"\r\n");
    }
    lines
}

/// The host that provides `doorbuster:http/client` converts its errors in the same way.
fn failure(error: ErrorCode) -> SendError {
    match error {
        ErrorCode::HttpRequestDenied => SendError::Denied,
        ErrorCode::DnsTimeout | ErrorCode::DnsError(_) => SendError::NameNotFound,
        ErrorCode::DestinationNotFound | ErrorCode::DestinationUnavailable => {
            SendError::Unreachable
        }
        ErrorCode::ConnectionRefused => SendError::ConnectionRefused,
        ErrorCode::ConnectionTimeout => SendError::ConnectionTimeout,
        ErrorCode::ConnectionLimitReached => SendError::ConnectionLimit,
        ErrorCode::ConnectionTerminated
        | ErrorCode::HttpResponseIncomplete
        | ErrorCode::HttpProtocolError => SendError::Interrupted,
        ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => SendError::ResponseTimeout,
        ErrorCode::HttpResponseBodySize(_) => SendError::ResponseTooLarge,
        ErrorCode::TlsCertificateError => SendError::CertificateNotTrusted,
        ErrorCode::TlsProtocolError | ErrorCode::TlsAlertReceived(_) => SendError::TlsFailed,
        ErrorCode::InternalError(Some(text)) => SendError::Other(text),
        other => SendError::Other(other.to_string()),
    }
}
