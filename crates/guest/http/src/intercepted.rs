//! The exchanges of middleware that needs responses. The same functions are for requests through
//! `wasi:http/handler` and for complete requests.

use std::rc::Rc;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use guest_tasks::{now_ms, within};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, uri};
use http_text::{find, from_lines, to_lines};
use intake::request::content_length;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{
    ErrorCode, Request as HostRequest, RequestOptions, Response as HostResponse, Scheme,
};

use crate::body::{Answer, FullBody};
use crate::failure::error_code;
use crate::interceptor::{Event, ResponseHead, Server, WholeHead};
use crate::middleware::{self, Head, changed_request, changed_response, head_of, next};
use crate::outline::{Buffered, Outline, buffer, needs_no_content};
use crate::reply::{BodyStream, Reply};
use crate::response::{Received, receive_response, response_head};
use crate::serve::{self, Headers, head, send_answer, send_reply};
use crate::suspend::{Ask, Link, SendRequest};
use crate::upload::{End, Observed, Upload};
use crate::write::internal;

/// A request to middleware.
pub struct Intercepted(Request);

enum Request {
    Streamed(HostRequest),
    Whole(WholeHead, Rc<Link>),
}

/// What middleware does with a request.
pub enum Outcome {
    /// It is answered.
    Answer(Answer),
    /// It is answered with a stream. The answer to a complete request has everything that the stream has until
    /// its end, at most 1 MiB.
    Streamed(Response<BodyStream>),
    /// It was passed on, and this is the response.
    Passed(NextResponse),
    /// It is answered, and then there is more to do.
    AnswerFirst(Answer, LocalBoxFuture<'static, ()>),
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Full(answer) => Self::Answer(answer),
            Reply::Streamed(response) => Self::Streamed(response),
        }
    }
}

impl From<NextResponse> for Outcome {
    fn from(response: NextResponse) -> Self {
        Self::Passed(response)
    }
}

/// A request that may be sent several times, or that can be sent once.
pub enum Kept {
    /// Its body is short enough.
    Repeatable(Repeatable),
    /// Its body is longer than permitted, or its length is not announced.
    Once(Intercepted),
}

/// A request that can be sent several times.
pub struct Repeatable(Source);

enum Source {
    Streamed(Outline, FullBody),
    Whole(Rc<Link>, Changes),
}

/// The changes of a request that is passed on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    pub remove: Vec<String>,
    pub insert: HeaderMap,
}

/// Where a request is forwarded to, and with which headers.
pub struct Destination<'a> {
    /// `http` or `https`.
    pub scheme: &'a uri::Scheme,
    /// `host[:port]`.
    pub authority: &'a Authority,
    /// The path and the query.
    pub path_with_query: String,
    /// The headers in place of those of the request.
    pub headers: HeaderMap,
}

impl Destination<'_> {
    /// Addresses a request. `connect_limit` is the time to connect.
    fn apply(self, outline: &mut Outline, connect_limit: Duration) -> Result<(), ErrorCode> {
        outline.set_headers(&self.headers)?;
        outline.path_with_query = Some(self.path_with_query);
        outline.scheme = Some(self.scheme.into());
        outline.authority = Some(self.authority.to_string());
        // The time limit for the head of the response is not that of the host, which includes the time for
        // the body of the request.
        let options = RequestOptions::new();
        let nanoseconds = u64::try_from(connect_limit.as_nanos()).ok();
        options.set_connect_timeout(nanoseconds).map_err(internal)?;
        outline.options = Some(options);
        Ok(())
    }

    /// The same for a complete request with these headers.
    fn send(self, headers: &HeaderMap, limit: Duration) -> SendRequest {
        let mut changes = Changes::default();
        for name in headers.keys().filter(|name| !self.headers.contains_key(*name)) {
            changes.remove.push(name.as_str().into());
        }
        for name in self.headers.keys() {
            let values = self.headers.get_all(name);
            if values != headers.get_all(name) {
                for value in values {
                    changes.insert.append(name.clone(), value.clone());
                }
            }
        }
        let server = Server {
            scheme: self.scheme.as_str().into(),
            authority: self.authority.as_str().into(),
            path_with_query: self.path_with_query,
        };
        SendRequest { server: Some(server), changes, limit: Some(limit), ..SendRequest::default() }
    }
}

/// A response of the next component, or of the server that the request was forwarded to.
pub struct NextResponse(Next);

enum Next {
    Streamed(HostResponse),
    /// The host has the response. The headers are set in it when it is passed on.
    Whole(ResponseHead, HeaderMap, Rc<Link>),
}

impl Intercepted {
    pub(crate) fn streamed(request: HostRequest) -> Self {
        Self(Request::Streamed(request))
    }

    pub(crate) fn whole(head: WholeHead, link: Rc<Link>) -> Self {
        Self(Request::Whole(head, link))
    }

    /// The method, the path and all headers.
    pub fn head(&self) -> Result<Head, ErrorCode> {
        match &self.0 {
            Request::Streamed(request) => head(request, Headers::All),
            Request::Whole(head, _) => head_of(head).ok_or_else(|| internal("an invalid head")),
        }
    }

    /// The path and the query.
    pub fn path_with_query(&self) -> String {
        match &self.0 {
            Request::Streamed(request) => request.get_path_with_query().unwrap_or_default(),
            Request::Whole(head, _) => head.path_with_query.clone(),
        }
    }

    /// The scheme of the URL.
    pub fn scheme(&self) -> String {
        let scheme = match &self.0 {
            Request::Streamed(request) => request.get_scheme().map(|scheme| match scheme {
                Scheme::Http => "http".into(),
                Scheme::Https => "https".into(),
                Scheme::Other(other) => other,
            }),
            Request::Whole(head, _) => head.scheme.clone(),
        };
        scheme.unwrap_or_else(|| "http".into())
    }

    /// `host[:port]`, if the client sent it.
    pub fn authority(&self) -> Option<String> {
        match &self.0 {
            Request::Streamed(request) => request.get_authority(),
            Request::Whole(head, _) => head.authority.clone(),
        }
    }

    /// Passes the request on as it is.
    pub async fn pass(self) -> Result<NextResponse, ErrorCode> {
        match self.0 {
            Request::Streamed(request) => next(request).await.map(NextResponse::streamed),
            Request::Whole(_, link) => link.send(SendRequest::default()).await.into_result(),
        }
    }

    /// Passes the request on without the headers with these names.
    pub async fn pass_without(self, names: Vec<HeaderName>) -> Result<NextResponse, ErrorCode> {
        match self.0 {
            Request::Streamed(request) => {
                let changes = middleware::Changes { remove: names, ..Default::default() };
                next(changed_request(request, &changes)?).await.map(NextResponse::streamed)
            }
            Request::Whole(_, link) => {
                let remove = names.iter().map(|name| name.as_str().into()).collect();
                let changes = Changes { remove, ..Changes::default() };
                link.send(SendRequest { changes, ..SendRequest::default() }).await.into_result()
            }
        }
    }

    /// The request with its body, to be answered. `head` is that of the request.
    pub fn into_request(self, head: Head) -> serve::Request {
        head.map(|()| match self.0 {
            Request::Streamed(request) => request.into(),
            Request::Whole(_, link) => link.into(),
        })
    }

    /// Passes the request on, and observes how it ends. `limit` is the time for the next component to
    /// accept a piece of the body, and to answer after its end. The client has `upload_limit` for it.
    pub async fn observe(
        self,
        limit: Duration,
        upload_limit: Duration,
    ) -> Result<Observed<NextResponse>, ErrorCode> {
        match self.0 {
            Request::Streamed(request) => {
                let (request, upload) = Upload::of(request, limit, |_| Ok(())).await?;
                let exchange = upload.exchange(upload_limit, next(request)).await;
                Ok(exchange.map(NextResponse::streamed))
            }
            Request::Whole(_, link) => {
                Ok(link.observe(SendRequest { limit: Some(limit), ..SendRequest::default() }).await)
            }
        }
    }

    /// Sends the request to a server, and observes how it ends, as with [`Self::observe`]. Only a component
    /// that ends a chain can do that. `head` is that of the request.
    pub async fn forward(
        self,
        head: &Head,
        destination: Destination<'_>,
        limit: Duration,
        upload_limit: Duration,
    ) -> Result<Observed<NextResponse>, ErrorCode> {
        match self.0 {
            Request::Streamed(request) => {
                let address = |outline: &mut Outline| destination.apply(outline, limit);
                let (request, upload) = Upload::of(request, limit, address).await?;
                let exchange = upload.exchange(upload_limit, client::send(request)).await;
                Ok(exchange.map(NextResponse::streamed))
            }
            Request::Whole(_, link) => {
                Ok(link.observe(destination.send(head.headers(), limit)).await)
            }
        }
    }

    /// Keeps the request to send it several times, if its announced length is at most `bytes_max`, or
    /// if it has no body. `head` is that of the request.
    pub async fn keep(self, head: &Head, bytes_max: u64) -> Result<Kept, ErrorCode> {
        match self.0 {
            Request::Streamed(request) => {
                let buffered = buffer(request, head.headers(), bytes_max).await?;
                Ok(match buffered {
                    Buffered::Complete(outline, body) => {
                        Kept::Repeatable(Repeatable(Source::Streamed(outline, body)))
                    }
                    Buffered::Streamed(request) => Kept::Once(Self::streamed(request)),
                })
            }
            // The host has the body. The limits are the same as with streams.
            Request::Whole(own, link) => {
                let is_kept = match content_length(head.headers()) {
                    Some(length) => length <= bytes_max,
                    None => needs_no_content(head.method()),
                };
                Ok(if is_kept {
                    Kept::Repeatable(Repeatable(Source::Whole(link, Changes::default())))
                } else {
                    Kept::Once(Self::whole(own, link))
                })
            }
        }
    }
}

impl Repeatable {
    /// Replaces the headers with these names by others.
    pub fn replace(&mut self, names: &[HeaderName], others: &HeaderMap) -> Result<(), ErrorCode> {
        match &mut self.0 {
            Source::Streamed(outline, _) => {
                for name in names {
                    outline.fields.delete(name.as_str()).map_err(internal)?;
                }
                for (name, value) in others {
                    outline.fields.append(name.as_str(), value.as_bytes()).map_err(internal)?;
                }
            }
            Source::Whole(_, changes) => {
                changes.remove = names.iter().map(|name| name.as_str().into()).collect();
                changes.insert = others.clone();
            }
        }
        Ok(())
    }

    /// Sends the request.
    pub async fn send(&self) -> Result<NextResponse, ErrorCode> {
        match &self.0 {
            Source::Streamed(outline, body) => {
                next(outline.with_body(body)?).await.map(NextResponse::streamed)
            }
            Source::Whole(link, changes) => {
                let send = SendRequest { changes: changes.clone(), ..SendRequest::default() };
                link.send(send).await.into_result()
            }
        }
    }

    /// Sends the request after a pause; `None` if there is no response in `limit` after that. The host
    /// drops an earlier response before the pause.
    pub async fn send_after(
        &self,
        pause: Duration,
        limit: Duration,
    ) -> Option<Result<NextResponse, ErrorCode>> {
        match &self.0 {
            Source::Streamed(..) => {
                if !pause.is_zero() {
                    spin_sdk::time::sleep(pause).await;
                }
                within(limit, self.send()).await
            }
            Source::Whole(link, changes) => {
                let (changes, limit) = (changes.clone(), Some(limit));
                match link.send(SendRequest { server: None, changes, pause, limit }).await {
                    End::TimedOut => None,
                    end => Some(end.into_result()),
                }
            }
        }
    }
}

impl Link {
    /// Sends the request.
    async fn send(self: &Rc<Self>, send: SendRequest) -> End<NextResponse> {
        match self.ask(Ask::Send(send)).await {
            Event::Response(head) => {
                End::Answered(NextResponse(Next::Whole(head, HeaderMap::new(), self.clone())))
            }
            Event::TimedOut => End::TimedOut,
            Event::Failed(error) => End::Failed(error_code(error)),
            Event::Body(_) | Event::TooLong | Event::Answered | Event::Cancelled => {
                End::Failed(internal(UNEXPECTED))
            }
        }
    }

    /// Sends the request, and measures the time until the response. Its body is complete already.
    async fn observe(self: &Rc<Self>, send: SendRequest) -> Observed<NextResponse> {
        let began_ms = now_ms();
        let end = self.send(send).await;
        let time = Duration::from_millis(now_ms().saturating_sub(began_ms));
        Observed { end, time: Some(time) }
    }
}

const UNEXPECTED: &str = "the host has resumed an exchange with an unexpected event";

impl End<NextResponse> {
    fn into_result(self) -> Result<NextResponse, ErrorCode> {
        match self {
            Self::Answered(response) => Ok(response),
            Self::Failed(error) => Err(error),
            Self::TimedOut => Err(ErrorCode::HttpResponseTimeout),
            Self::NotReceived(fault) => Err(internal(fault.detail)),
        }
    }
}

impl NextResponse {
    fn streamed(response: HostResponse) -> Self {
        Self(Next::Streamed(response))
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        match &self.0 {
            Next::Streamed(response) => response.get_status_code(),
            Next::Whole(head, ..) => head.status,
        }
    }

    /// The first header with this name.
    pub fn header(&self, name: &HeaderName) -> Option<HeaderValue> {
        match &self.0 {
            Next::Streamed(response) => {
                let values = response.get_headers().get(name.as_str());
                HeaderValue::from_bytes(values.first()?).ok()
            }
            Next::Whole(head, ..) => {
                find(&head.headers.clone().into(), std::slice::from_ref(name)).remove(name)
            }
        }
    }

    /// The status code and all headers.
    pub fn head(&self) -> Result<Response<()>, ErrorCode> {
        match &self.0 {
            Next::Streamed(response) => response_head(response),
            Next::Whole(own, ..) => {
                let headers = from_lines(&own.headers.clone().into());
                let mut head = Response::new(());
                *head.status_mut() = StatusCode::from_u16(own.status).map_err(internal)?;
                *head.headers_mut() = headers.ok_or_else(|| internal("invalid headers"))?;
                Ok(head)
            }
        }
    }

    /// The response with these headers, which replace fields of the same names.
    pub fn with_headers(self, headers: HeaderMap) -> Result<Self, ErrorCode> {
        Ok(Self(match self.0 {
            Next::Streamed(response) => {
                Next::Streamed(changed_response(response, &headers).map_err(internal)?)
            }
            Next::Whole(head, mut set, link) => {
                set.extend(headers);
                Next::Whole(head, set, link)
            }
        }))
    }

    /// The length of the body, if it is known. `headers` are those of the response.
    pub fn length(&self, headers: &HeaderMap) -> Option<u64> {
        match &self.0 {
            Next::Streamed(_) => content_length(headers),
            Next::Whole(head, ..) => head.body_bytes.or_else(|| content_length(headers)),
        }
    }

    /// Reads the body if it is at most `bytes_max` long. `headers` are those of the response. A body
    /// that is not as long as announced is an error.
    pub async fn receive(
        self,
        headers: &HeaderMap,
        bytes_max: usize,
    ) -> Result<Received<Self>, ErrorCode> {
        match self.0 {
            Next::Streamed(response) => {
                let received = receive_response(response, headers, bytes_max).await?;
                Ok(received.map(Self::streamed))
            }
            Next::Whole(head, set, link) => match link.ask(Ask::ReceiveResponse(bytes_max)).await {
                Event::Body(body) => {
                    let trailers = from_lines(&body.trailers.into());
                    let trailers = trailers.ok_or_else(|| internal("invalid trailers"))?;
                    Ok(Received::Complete(FullBody { data: body.data.into(), trailers }))
                }
                Event::TooLong => Ok(Received::TooLong(Self(Next::Whole(head, set, link)))),
                Event::Failed(error) => Err(error_code(error)),
                _ => Err(internal(UNEXPECTED)),
            },
        }
    }

    /// The headers to set in the response that the host has.
    pub(crate) fn into_changes(self) -> Result<Vec<u8>, ErrorCode> {
        match self.0 {
            Next::Whole(_, set, _) => Ok(to_lines(&set, |_| true)),
            Next::Streamed(_) => Err(internal("the response is a stream")),
        }
    }

    fn into_stream(self) -> Result<HostResponse, ErrorCode> {
        match self.0 {
            Next::Streamed(response) => Ok(response),
            Next::Whole(..) => Err(internal("the response is not a stream")),
        }
    }
}

/// Handles a request through `wasi:http/handler`.
pub async fn serve_intercepted<F>(
    request: HostRequest,
    handle: impl FnOnce(Intercepted) -> F,
) -> Result<HostResponse, ErrorCode>
where
    F: Future<Output = Result<Outcome, ErrorCode>>,
{
    match handle(Intercepted::streamed(request)).await? {
        Outcome::Answer(answer) => send_answer(answer),
        Outcome::Streamed(response) => send_reply(Reply::Streamed(response)),
        Outcome::Passed(response) => response.into_stream(),
        Outcome::AnswerFirst(answer, work) => {
            spin_sdk::wit_bindgen::spawn(work);
            send_answer(answer)
        }
    }
}
