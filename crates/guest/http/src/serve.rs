//! Serves requests to the component: converts between the types of the host and those of the `http`
//! crate.
//!
//! The conversion of the SDK reads all parts of a request. This one reads only those that the
//! components use, with fewer calls of the host.

use std::rc::Rc;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use http::{HeaderName, Method, StatusCode, Uri, header};
use http_text::to_lines;
use intake::Problem;
use intake::request::{IDEMPOTENCY_KEY, TRACEPARENT, body_broken, body_too_large, content_length};
use spin_sdk::wasip3::http::types::{ErrorCode, Request as HostRequest, Response as HostResponse};
use spin_sdk::wasip3::wit_future;

use crate::body::{Answer, all_fields, from_fields, to_fields};
use crate::interceptor::Event;
use crate::read::{Incoming, ReadError};
use crate::reply::Reply;
use crate::suspend::{Ask, Link};
use crate::whole::handler::{Request as WholeRequest, Response as WholeResponse};
use crate::write::{internal, write, write_stream};

/// A request: its method, its path, the headers that the components use, and its body.
pub type Request = http::Request<IncomingBody>;

/// A body that has not been read, or the whole body.
pub struct IncomingBody(Source);

impl From<HostRequest> for IncomingBody {
    fn from(request: HostRequest) -> Self {
        Self(Source::Stream(request))
    }
}

impl From<Rc<Link>> for IncomingBody {
    fn from(link: Rc<Link>) -> Self {
        Self(Source::Exchange(link))
    }
}

impl IncomingBody {
    /// The authority of the request, `host[:port]`; `None` if the request is complete, because the
    /// components with such requests do not need it.
    pub fn authority(&self) -> Option<String> {
        match &self.0 {
            Source::Stream(request) => request.get_authority(),
            Source::Whole(_) | Source::Exchange(_) => None,
        }
    }
}

enum Source {
    Stream(HostRequest),
    Whole(Bytes),
    /// The host has the body.
    Exchange(Rc<Link>),
}

/// The headers of a request that the components use.
const NEEDED_HEADERS: [HeaderName; 8] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::IF_NONE_MATCH,
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static(IDEMPOTENCY_KEY),
    HeaderName::from_static(TRACEPARENT),
];

/// Which headers of a request a component gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Headers {
    /// Those that the components for sales and the dashboard use.
    Needed,
    /// All of them.
    All,
}

/// Passes the host's request to `handler` and sends its response.
pub async fn serve<R: Into<Reply>>(
    request: HostRequest,
    headers: Headers,
    handler: impl AsyncFnOnce(Request) -> R,
) -> Result<HostResponse, ErrorCode> {
    send_reply(handler(receive(request, headers)?).await.into())
}

/// The response of the host for a complete answer.
pub fn send_answer(answer: Answer) -> Result<HostResponse, ErrorCode> {
    send_reply(answer.into())
}

pub(crate) fn send_reply(reply: Reply) -> Result<HostResponse, ErrorCode> {
    let (response, work) = respond(reply)?;
    spin_sdk::wit_bindgen::spawn(work);
    Ok(response)
}

/// The response, and the future that sends its body.
fn respond(reply: Reply) -> Result<(HostResponse, LocalBoxFuture<'static, ()>), ErrorCode> {
    let (head, outgoing, work) = match reply {
        Reply::Full(answer) => {
            let (head, body) = answer.into_parts();
            let (outgoing, work) = write(body).map_err(internal)?;
            (head, outgoing, work.boxed_local())
        }
        Reply::Streamed(answer) => {
            let (head, stream) = answer.into_parts();
            let (outgoing, work) = write_stream(stream);
            (head, outgoing, work.boxed_local())
        }
    };
    let headers = to_fields(&head.headers).map_err(internal)?;
    let (response, _sent) = HostResponse::new(headers, outgoing.contents, outgoing.trailers);
    // The status of a new response is already 200.
    if head.status != StatusCode::OK {
        response.set_status_code(head.status.as_u16()).map_err(|()| internal("no such status"))?;
    }
    Ok((response, work))
}

fn receive(request: HostRequest, headers: Headers) -> Result<Request, ErrorCode> {
    Ok(head(&request, headers)?.map(|()| request.into()))
}

/// The head of a request.
pub fn head(request: &HostRequest, headers: Headers) -> Result<http::Request<()>, ErrorCode> {
    let wrong = |_| ErrorCode::HttpRequestUriInvalid;
    let path = request.get_path_with_query().unwrap_or_else(|| "/".into());
    let fields = request.get_headers();
    let headers = match headers {
        Headers::Needed => from_fields(&fields, &NEEDED_HEADERS),
        Headers::All => all_fields(&fields),
    };
    let method = Method::try_from(request.get_method());
    let mut converted = http::Request::new(());
    *converted.uri_mut() = Uri::try_from(path).map_err(wrong)?;
    *converted.method_mut() = method.map_err(|_| ErrorCode::HttpRequestMethodInvalid)?;
    *converted.headers_mut() = headers;
    Ok(converted)
}

/// Passes a complete request to `handler` and returns its response.
pub async fn serve_whole(
    request: WholeRequest,
    headers: Headers,
    handler: impl AsyncFnOnce(Request) -> Answer,
) -> WholeResponse {
    let answer = match receive_whole(request, headers) {
        Ok(request) => handler(request).await,
        Err(status) => {
            let mut answer = Answer::default();
            *answer.status_mut() = status;
            answer
        }
    };
    to_whole(answer)
}

/// A complete response as plain data.
pub(crate) fn to_whole(answer: Answer) -> WholeResponse {
    let (head, body) = answer.into_parts();
    WholeResponse {
        status: head.status.as_u16(),
        headers: to_lines(&head.headers, |_| true),
        body: body.data.into(),
        trailers: to_lines(&body.trailers, |_| true),
    }
}

/// Fails with a status for a request that is not valid, which no host should pass on.
fn receive_whole(request: WholeRequest, headers: Headers) -> Result<Request, StatusCode> {
    let lines = request.headers.into();
    let headers = match headers {
        Headers::Needed => http_text::find(&lines, &NEEDED_HEADERS),
        Headers::All => http_text::from_lines(&lines).ok_or(StatusCode::BAD_REQUEST)?,
    };
    let uri = Uri::try_from(request.path_with_query);
    let method = Method::from_bytes(request.method.as_bytes());
    let mut converted = http::Request::new(IncomingBody(Source::Whole(request.body.into())));
    *converted.uri_mut() = uri.map_err(|_| StatusCode::BAD_REQUEST)?;
    *converted.method_mut() = method.map_err(|_| StatusCode::BAD_REQUEST)?;
    *converted.headers_mut() = headers;
    Ok(converted)
}

/// Reads a body up to its announced length, or to the end if none is announced. A body longer than
/// `bytes_max` is an error.
pub async fn read_body(
    head: &http::request::Parts,
    body: IncomingBody,
    bytes_max: usize,
) -> Result<Bytes, Problem> {
    let request = match body.0 {
        Source::Stream(request) => request,
        Source::Whole(data) if data.len() > bytes_max => return Err(body_too_large(bytes_max)),
        Source::Whole(data) => return Ok(data),
        Source::Exchange(link) => {
            return match link.ask(Ask::ReceiveRequest(bytes_max)).await {
                Event::Body(body) => Ok(body.data.into()),
                Event::TooLong => Err(body_too_large(bytes_max)),
                _ => Err(body_broken()),
            };
        }
    };
    let (_read, result) = wit_future::new(|| Ok(()));
    let (contents, trailers) = HostRequest::consume_body(request, result);
    let incoming = Incoming { contents, trailers, announced: content_length(&head.headers) };
    match incoming.read(bytes_max).await {
        Ok((data, _trailers)) => Ok(data.into()),
        Err(ReadError::TooLarge) => Err(body_too_large(bytes_max)),
        Err(ReadError::Broken(_)) => Err(body_broken()),
    }
}
