//! Complete HTTP messages: their bodies, and their conversion from and to the records of
//! `doorbuster:http`.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Full, Limited};
use http_text::{
    FIELDS_BYTES_MAX, check_length, check_size, complete_length, from_lines, request_target,
    to_lines,
};
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

pub(crate) use bindings::doorbuster::http::client;
pub(crate) use bindings::doorbuster::http::types::Head;
pub(crate) use bindings::doorbuster::http::types::{
    Request as WholeRequest, Response as WholeResponse, ResponseLimits, SendError,
};
pub(crate) use filter_bindings::exports::doorbuster::http::filter::{Changes, Decision};
pub(crate) use interceptor_bindings::exports::doorbuster::http::interceptor::{
    Action, Content, EarlyAnswer, Event, Receiving, ResponseHead, Sending, Server,
};

use crate::http::ResponseBody;
use crate::outbound::is_forbidden;

mod bindings {
    wasmtime::component::bindgen!({
        world: "doorbuster:http/caller",
        path: "../../../wit/doorbuster-http",
        imports: { "doorbuster:http/client": async | store },
    });
}

mod filter_bindings {
    wasmtime::component::bindgen!({
        world: "doorbuster:http/middleware",
        path: "../../../wit/doorbuster-http",
        with: { "doorbuster:http/types": super::bindings::doorbuster::http::types },
    });
}

mod interceptor_bindings {
    wasmtime::component::bindgen!({
        world: "doorbuster:http/intercepting-middleware",
        path: "../../../wit/doorbuster-http",
        with: { "doorbuster:http/types": super::bindings::doorbuster::http::types },
    });
}

/// Why a body could not be collected.
pub(crate) enum CollectError {
    /// It is longer than the limit.
    TooLong,
    /// It ended early.
    Broken(HttpError),
}

/// A complete body.
#[derive(Debug, Clone, Default)]
pub(crate) struct WholeBody {
    pub data: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl WholeBody {
    /// The body as one part of a stream.
    pub fn into_body(self) -> WasiBody {
        let body = Full::new(self.data).map_err(|never| match never {});
        match self.trailers {
            None => body.boxed_unsync(),
            Some(trailers) => {
                body.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync()
            }
        }
    }

    /// Reads a body to its end. A longer one is an error.
    pub async fn collect<B>(body: B, bytes_max: usize) -> Result<Self, CollectError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<HttpError>,
    {
        let collected = Limited::new(body.map_err(Into::into), bytes_max).collect().await;
        let collected = collected.map_err(|error| match error.downcast() {
            Ok(error) => CollectError::Broken(*error),
            Err(_) => CollectError::TooLong,
        })?;
        let trailers = collected.trailers().cloned();
        Ok(Self { data: collected.to_bytes(), trailers })
    }
}

/// A request for a component.
pub(crate) fn request_to_guest(request: Request<WholeBody>) -> WholeRequest {
    let (head, body) = request.into_parts();
    let uri = &head.uri;
    WholeRequest {
        method: head.method.as_str().into(),
        path_with_query: uri.path_and_query().map_or("/", |path| path.as_str()).into(),
        scheme: uri.scheme_str().map(Into::into),
        authority: uri.authority().map(|authority| authority.as_str().into()),
        headers: permitted(&head.headers),
        body: body.data.into(),
        trailers: body.trailers.as_ref().map(permitted).unwrap_or_default(),
    }
}

/// The head of a request for middleware.
pub(crate) fn head_to_guest(request: &Request<WholeBody>) -> Head {
    let uri = request.uri();
    Head {
        method: request.method().as_str().into(),
        path_with_query: uri.path_and_query().map_or("/", |path| path.as_str()).into(),
        scheme: uri.scheme_str().map(Into::into),
        authority: uri.authority().map(|authority| authority.as_str().into()),
        headers: permitted(request.headers()),
    }
}

/// The request to a server in place of that of a client: without what concerns only the connection of the
/// client. The error says what is invalid.
pub(crate) fn address(
    request: Request<WholeBody>,
    server: &Server,
) -> Result<Request<WholeBody>, &'static str> {
    let Server { scheme, authority, path_with_query } = server;
    let (head, body) = request.into_parts();
    let method = head.method.as_str();
    let (method, uri) = request_target(method, Some(scheme), Some(authority), path_with_query)?;
    // Middleware may have changed it.
    check_length(&head.headers, body.data.len())?;
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = head.headers;
    remove_forbidden(request.headers_mut());
    Ok(request)
}

/// Removes the fields that components do not get.
pub(crate) fn remove_forbidden(fields: &mut HeaderMap) {
    let names: Vec<_> = fields.keys().filter(|name| is_forbidden(name)).cloned().collect();
    for name in names {
        fields.remove(name);
    }
}

/// Applies the changes of middleware to a request. The error says what is invalid in them.
pub(crate) fn change_request(
    request: &mut Request<WholeBody>,
    remove: Vec<String>,
    insert: Vec<u8>,
) -> Result<(), Cow<'static, str>> {
    for name in remove {
        request.headers_mut().remove(name);
    }
    set_fields(request.headers_mut(), insert)
}

/// Sets header fields of middleware in a response. The error says what is invalid then.
pub(crate) fn change_response(
    response: &mut Response<ResponseBody>,
    fields: Vec<u8>,
    is_head: bool,
) -> Result<(), Cow<'static, str>> {
    if fields.is_empty() {
        return Ok(());
    }
    set_fields(response.headers_mut(), fields)?;
    let whole = response.body().whole();
    let trailers = whole.and_then(|body| body.trailers.as_ref()).map_or(0, length_of);
    check_size(0, length_of(response.headers()), trailers)?;
    let length = whole.map(|body| body.data.len());
    let head = (response.status(), response.headers());
    Ok(length.map_or(Ok(()), |length| check_announced(head, length, is_head))?)
}

/// Sets header fields of middleware. They replace those of the same names.
fn set_fields(headers: &mut HeaderMap, fields: Vec<u8>) -> Result<(), Cow<'static, str>> {
    check_size(0, fields.len(), 0)?;
    headers.extend(parse(fields)?);
    Ok(())
}

/// The length of fields as lines.
fn length_of(fields: &HeaderMap) -> usize {
    fields.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
}

/// Checks the announced length of a response. One without a body may announce another length.
fn check_announced(
    (status, headers): (StatusCode, &HeaderMap),
    length: usize,
    is_head: bool,
) -> Result<(), &'static str> {
    if length == 0 && (is_head || status == StatusCode::NOT_MODIFIED) {
        return Ok(());
    }
    check_length(headers, length)
}

/// The head of a response for middleware.
pub(crate) fn response_head_to_guest(response: &Response<ResponseBody>) -> ResponseHead {
    ResponseHead {
        status: response.status().as_u16(),
        headers: permitted(response.headers()),
        body_bytes: response.body().whole().map(|body| body.data.len() as u64),
    }
}

/// A body for middleware.
pub(crate) fn body_to_guest(body: &WholeBody) -> Content {
    Content {
        data: body.data.to_vec(),
        trailers: body.trailers.as_ref().map(permitted).unwrap_or_default(),
    }
}

/// A request of a component. The error says what is invalid in it.
pub(crate) fn request_from_guest(
    request: WholeRequest,
) -> Result<Request<WholeBody>, Cow<'static, str>> {
    let WholeRequest { method, path_with_query, scheme, authority, headers, body, trailers } =
        request;
    check_size(body.len(), headers.len(), trailers.len())?;
    let (method, uri) =
        request_target(&method, scheme.as_deref(), authority.as_deref(), &path_with_query)?;
    let (mut headers, trailers) = fields(headers, trailers)?;
    complete_length(&mut headers, body.len())?;
    let mut converted = Request::new(WholeBody { data: body.into(), trailers });
    *converted.method_mut() = method;
    *converted.uri_mut() = uri;
    *converted.headers_mut() = headers;
    Ok(converted)
}

/// A response for a component; `None` if it has more fields than permitted.
pub(crate) fn response_to_guest(response: Response<WholeBody>) -> Option<WholeResponse> {
    let (head, body) = response.into_parts();
    let headers = permitted(&head.headers);
    let trailers = body.trailers.as_ref().map(permitted).unwrap_or_default();
    let status = head.status.as_u16();
    (headers.len() + trailers.len() <= FIELDS_BYTES_MAX).then(|| WholeResponse {
        status,
        headers,
        body: body.data.into(),
        trailers,
    })
}

/// A response of a component. The error says what is invalid in it.
pub(crate) fn response_from_guest(
    response: WholeResponse,
    is_head: bool,
) -> Result<Response<WholeBody>, Cow<'static, str>> {
    let WholeResponse { status, headers, body, trailers } = response;
    check_size(body.len(), headers.len(), trailers.len())?;
    let (headers, trailers) = fields(headers, trailers)?;
    let status = StatusCode::from_u16(status).map_err(|_| "an invalid status")?;
    let mut converted = Response::new(WholeBody { data: body.into(), trailers });
    *converted.status_mut() = status;
    *converted.headers_mut() = headers;
    let length = converted.body().data.len();
    check_announced((status, converted.headers()), length, is_head)?;
    Ok(converted)
}

/// The fields that a component gets, as through `wasi:http`.
fn permitted(fields: &HeaderMap) -> Vec<u8> {
    to_lines(fields, |name| !is_forbidden(name))
}

/// The headers and trailers of a component.
fn fields(
    headers: Vec<u8>,
    trailers: Vec<u8>,
) -> Result<(HeaderMap, Option<HeaderMap>), Cow<'static, str>> {
    let trailers = parse(trailers)?;
    Ok((parse(headers)?, (!trailers.is_empty()).then_some(trailers)))
}

fn parse(lines: Vec<u8>) -> Result<HeaderMap, Cow<'static, str>> {
    let fields = from_lines(&lines.into()).ok_or("an invalid field")?;
    match fields.keys().find(|name| is_forbidden(name)) {
        Some(name) => Err(format!("the field `{name}`, which only the host sets").into()),
        None => Ok(fields),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method, header};
    use http_text::BODY_BYTES_MAX;

    use super::*;

    fn request() -> WholeRequest {
        WholeRequest {
            method: "POST".into(),
            path_with_query: "/a?b=c".into(),
            scheme: None,
            authority: Some("h:1".into()),
            headers: b"te: trailers\r\n".to_vec(),
            body: b"body".to_vec(),
            trailers: b"t: 1\r\n".to_vec(),
        }
    }

    #[test]
    fn a_request_of_a_component_is_complete() {
        let converted = request_from_guest(request()).unwrap();
        assert_eq!(converted.method(), Method::POST);
        assert_eq!(converted.uri(), "http://h:1/a?b=c");
        assert_eq!(converted.headers()[header::CONTENT_LENGTH], "4");
        assert_eq!(converted.headers()[header::TE], "trailers");
        assert_eq!(converted.body().data, "body");
        assert_eq!(converted.body().trailers.as_ref().unwrap()["t"], "1");
        let empty = WholeRequest { body: Vec::new(), trailers: Vec::new(), ..request() };
        let converted = request_from_guest(empty).unwrap();
        assert_eq!(converted.headers()[header::CONTENT_LENGTH], "0");
        assert!(converted.body().trailers.is_none());
    }

    #[test]
    fn an_invalid_request_of_a_component_is_refused() {
        let lines = |text: &str| text.as_bytes().to_vec();
        for (invalid, expected) in [
            (WholeRequest { authority: None, ..request() }, "authority"),
            (WholeRequest { headers: lines("a"), ..request() }, "field"),
            (WholeRequest { headers: lines("connection: close\r\n"), ..request() }, "connection"),
            (WholeRequest { headers: lines("content-length: 5\r\n"), ..request() }, "length"),
            (WholeRequest { body: vec![0; BODY_BYTES_MAX + 1], ..request() }, "1 MiB"),
            (WholeRequest { trailers: vec![b'a'; FIELDS_BYTES_MAX], ..request() }, "128 KiB"),
        ] {
            let fault = request_from_guest(invalid).unwrap_err();
            assert!(fault.contains(expected), "{expected}: {fault}");
        }
    }

    #[test]
    fn a_response_with_too_many_fields_is_not_passed_on() {
        let mut response = Response::new(WholeBody::default());
        let value = HeaderValue::try_from("x".repeat(FIELDS_BYTES_MAX - 5)).unwrap();
        response.headers_mut().insert("a", value);
        assert_eq!(response_to_guest(response).unwrap().headers.len(), FIELDS_BYTES_MAX);
        let mut response = Response::new(WholeBody::default());
        let value = HeaderValue::try_from("x".repeat(FIELDS_BYTES_MAX - 4)).unwrap();
        response.headers_mut().insert("a", value);
        assert!(response_to_guest(response).is_none());
    }
}
