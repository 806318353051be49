//! Requests that are passed on: their heads, and their bodies as streams.

use bytes::Bytes;
use http::{HeaderMap, header};
use intake::request::content_length;
use spin_sdk::wasip3::http::types::{
    ErrorCode, Fields, Method, Request as HostRequest, RequestOptions, Scheme,
};
use spin_sdk::wasip3::{wit_future, wit_stream};
use spin_sdk::wit_bindgen::{FutureReader, StreamReader, StreamResult};

use crate::body::{FullBody, all_fields, to_fields};
use crate::read::READ_BYTES;
use crate::write::{internal, write};

/// The end of a body.
pub(crate) type Trailers = FutureReader<Result<Option<Fields>, ErrorCode>>;

/// All parts of a request except its body, to create requests from.
pub struct Outline {
    /// The method.
    pub method: Method,
    /// The scheme of the URL.
    pub scheme: Option<Scheme>,
    /// `host[:port]`.
    pub authority: Option<String>,
    /// The path and the query.
    pub path_with_query: Option<String>,
    /// The header fields, which can be changed.
    pub fields: Fields,
    /// The time limits.
    pub options: Option<RequestOptions>,
}

impl Outline {
    /// The parts of this request.
    pub fn of(request: &HostRequest) -> Self {
        Self {
            method: request.get_method(),
            scheme: request.get_scheme(),
            authority: request.get_authority(),
            // `OPTIONS *` is about the server, and a new request cannot have this path.
            path_with_query: request.get_path_with_query().map(|path| match &*path {
                "*" => "/".into(),
                _ => path,
            }),
            fields: request.get_headers().clone(),
            options: request.get_options(),
        }
    }

    /// Whether the request probably has no body: none is announced, and the method does not need one.
    pub(crate) fn is_without_content(&self) -> bool {
        let method = http::Method::try_from(self.method.clone());
        method.is_ok_and(|method| needs_no_content(&method))
            && !self.fields.has(header::CONTENT_LENGTH.as_str())
    }

    /// Replaces all header fields.
    pub fn set_headers(&mut self, headers: &HeaderMap) -> Result<(), ErrorCode> {
        self.fields = to_fields(headers).map_err(internal)?;
        Ok(())
    }

    /// A request with these parts and this body.
    pub fn into_request(
        self,
        contents: Option<StreamReader<u8>>,
        trailers: Trailers,
    ) -> Result<HostRequest, ErrorCode> {
        let (request, _sent) = HostRequest::new(self.fields, contents, trailers, self.options);
        let refused = |()| internal("the host refuses a part of the request");
        request.set_method(&self.method).map_err(refused)?;
        request.set_scheme(self.scheme.as_ref()).map_err(refused)?;
        request.set_authority(self.authority.as_deref()).map_err(refused)?;
        request.set_path_with_query(self.path_with_query.as_deref()).map_err(refused)?;
        Ok(request)
    }

    /// A request with these parts and a complete body, which can be created again.
    pub fn with_body(&self, body: &FullBody) -> Result<HostRequest, ErrorCode> {
        let copy = Self {
            method: self.method.clone(),
            scheme: self.scheme.clone(),
            authority: self.authority.clone(),
            path_with_query: self.path_with_query.clone(),
            fields: self.fields.clone(),
            options: self.options.as_ref().map(RequestOptions::clone),
        };
        let (outgoing, work) = write(body.clone()).map_err(internal)?;
        spin_sdk::wit_bindgen::spawn(work);
        copy.into_request(outgoing.contents, outgoing.trailers)
    }
}

/// Whether requests with this method hardly ever have a body.
pub(crate) fn needs_no_content(method: &http::Method) -> bool {
    use http::Method;
    matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS | Method::TRACE)
}

/// The body of a request.
pub(crate) fn contents(request: HostRequest) -> (StreamReader<u8>, Trailers) {
    let (_read, result) = wit_future::new(|| Ok(()));
    HostRequest::consume_body(request, result)
}

/// A request whose body was read, if it is short enough.
pub(crate) enum Buffered {
    /// The complete body.
    Complete(Outline, FullBody),
    /// The request with its body as a stream, because the body is longer than permitted, or its length
    /// is not announced.
    Streamed(HostRequest),
}

/// Reads the body of a request if its announced length is at most `bytes_max`. `headers` are those
/// of the request.
pub(crate) async fn buffer(
    request: HostRequest,
    headers: &HeaderMap,
    bytes_max: u64,
) -> Result<Buffered, ErrorCode> {
    let Some(announced) = content_length(headers) else { return buffer_nothing(request).await };
    let length = usize::try_from(announced).ok().filter(|_| announced <= bytes_max);
    let Some(length) = length else { return Ok(Buffered::Streamed(request)) };
    let outline = Outline::of(&request);
    let (mut contents, trailers) = contents(request);
    // Many bodies may be kept at the same time.
    let mut data = Vec::with_capacity(length);
    let mut ended = false;
    // The trailers follow the end of the body, so it is read to its end.
    while !ended {
        let piece;
        (piece, ended) = read_some(&mut contents).await;
        if piece.len() > length - data.len() {
            return Err(ErrorCode::HttpRequestBodySize(None));
        }
        data.extend(piece);
    }
    Ok(Buffered::Complete(outline, complete(data, trailers.await?)))
}

/// Finds out whether a request without an announced length has a body. It waits for the first piece of
/// it only if there is hardly ever one, because the client may wait for an answer before it sends it.
async fn buffer_nothing(request: HostRequest) -> Result<Buffered, ErrorCode> {
    let outline = Outline::of(&request);
    if !outline.is_without_content() {
        return Ok(Buffered::Streamed(request));
    }
    let (mut contents, trailers) = contents(request);
    let (data, ended) = read_some(&mut contents).await;
    if ended && data.is_empty() {
        return Ok(Buffered::Complete(outline, complete(data, trailers.await?)));
    }
    let contents = continued(data, (!ended).then_some(contents));
    outline.into_request(Some(contents), trailers).map(Buffered::Streamed)
}

pub(crate) fn complete(data: Vec<u8>, trailers: Option<Fields>) -> FullBody {
    let trailers = trailers.map(|fields| all_fields(&fields)).unwrap_or_default();
    FullBody { data: Bytes::from(data), trailers }
}

/// Reads a piece of a body, and whether it is the last one.
pub(crate) async fn read_some(contents: &mut StreamReader<u8>) -> (Vec<u8>, bool) {
    loop {
        let (result, data) = contents.read(Vec::with_capacity(READ_BYTES)).await;
        let ended = !matches!(result, StreamResult::Complete(_));
        if ended || !data.is_empty() {
            return (data, ended);
        }
    }
}

/// A stream of the piece that was read and the rest, if there may be more.
pub(crate) fn continued(mut data: Vec<u8>, rest: Option<StreamReader<u8>>) -> StreamReader<u8> {
    let (mut writer, contents) = wit_stream::new();
    spin_sdk::wit_bindgen::spawn(async move {
        let mut rest = rest;
        while writer.write_all(data).await.is_empty() {
            let Some(reader) = &mut rest else { return };
            let (next, ended) = read_some(reader).await;
            data = next;
            if ended {
                rest = None;
            }
        }
    });
    contents
}
