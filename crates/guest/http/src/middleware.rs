//! Middleware: a component that decides about each request before another component handles it.

use http::{HeaderMap, HeaderName};
use http_text::{from_lines, to_lines};
use spin_sdk::wasip3::http::types::{
    ErrorCode, Fields, HeaderError, Request as HostRequest, Response as HostResponse,
};
use spin_sdk::wasip3::wit_future;

use crate::body::Answer;
use crate::filter as whole;
use crate::outline::{Outline, contents};
use crate::serve::{Headers, head, send_answer, to_whole};
use crate::write::internal;

/// The head of a request, with all its headers.
pub type Head = http::Request<()>;

/// What happens to a request.
#[derive(Debug)]
pub enum Decision {
    /// It is passed on with these changes.
    Pass(Changes),
    /// It is answered, and not passed on.
    Answer(Answer),
}

/// The changes of a request and its response.
#[derive(Debug, Default)]
pub struct Changes {
    /// The headers to remove from the request.
    pub remove: Vec<HeaderName>,
    /// The headers to set in the request after that.
    pub insert: HeaderMap,
    /// The headers to set in the response.
    pub response: HeaderMap,
}

/// Passes a request on, or answers it, as `decide` says. The bodies are not read.
pub async fn serve_middleware(
    request: HostRequest,
    decide: impl AsyncFnOnce(Head) -> Decision,
) -> Result<HostResponse, ErrorCode> {
    match decide(head(&request, Headers::All)?).await {
        Decision::Answer(answer) => send_answer(answer),
        Decision::Pass(changes) => {
            let response = next(changed_request(request, &changes)?).await?;
            changed_response(response, &changes.response).map_err(internal)
        }
    }
}

/// Passes a request on to the next component of the chain.
pub async fn next(request: HostRequest) -> Result<HostResponse, ErrorCode> {
    let mut response = spin_sdk::http::next(request).await?;
    response.body_mut().take_unstarted().ok_or_else(|| internal("the response was read"))
}

pub(crate) fn changed_request(
    request: HostRequest,
    changes: &Changes,
) -> Result<HostRequest, ErrorCode> {
    if changes.remove.is_empty() && changes.insert.is_empty() {
        return Ok(request);
    }
    let outline = Outline::of(&request);
    for name in &changes.remove {
        outline.fields.delete(name.as_str()).map_err(internal)?;
    }
    set(&outline.fields, &changes.insert).map_err(internal)?;
    let (contents, trailers) = contents(request);
    outline.into_request(Some(contents), trailers)
}

/// A response with these header fields, which replace fields of the same names.
pub fn changed_response(
    response: HostResponse,
    headers: &HeaderMap,
) -> Result<HostResponse, HeaderError> {
    if headers.is_empty() {
        return Ok(response);
    }
    let fields = response.get_headers().clone();
    set(&fields, headers)?;
    let status = response.get_status_code();
    let (_read, result) = wit_future::new(|| Ok(()));
    let (contents, trailers) = HostResponse::consume_body(response, result);
    let (changed, _sent) = HostResponse::new(fields, Some(contents), trailers);
    changed.set_status_code(status).map_err(|()| HeaderError::InvalidSyntax)?;
    Ok(changed)
}

fn set(fields: &Fields, headers: &HeaderMap) -> Result<(), HeaderError> {
    for name in headers.keys() {
        let values: Vec<_> =
            headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect();
        fields.set(name.as_str(), &values)?;
    }
    Ok(())
}

/// Decides about a complete request.
pub async fn serve_filter(
    request: whole::Head,
    decide: impl AsyncFnOnce(Head) -> Decision,
) -> whole::Decision {
    let decision = match head_of(&request) {
        Some(head) => decide(head).await,
        None => {
            let mut answer = Answer::default();
            *answer.status_mut() = http::StatusCode::BAD_REQUEST;
            Decision::Answer(answer)
        }
    };
    let lines = |headers: &HeaderMap| to_lines(headers, |_| true);
    match decision {
        Decision::Answer(answer) => whole::Decision::Answer(to_whole(answer)),
        Decision::Pass(changes) => whole::Decision::Pass(whole::Changes {
            remove: changes.remove.iter().map(|name| name.as_str().into()).collect(),
            insert: lines(&changes.insert),
            response: lines(&changes.response),
        }),
    }
}

/// The head of a complete request; `None` if it is not valid, which no host should pass on.
pub(crate) fn head_of(request: &whole::Head) -> Option<Head> {
    let mut head = Head::new(());
    *head.method_mut() = request.method.parse().ok()?;
    *head.uri_mut() = request.path_with_query.parse().ok()?;
    *head.headers_mut() = from_lines(&request.headers.clone().into())?;
    Some(head)
}
