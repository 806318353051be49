//! Middleware: a component that decides about each request before another component handles it.

use http::{HeaderMap, HeaderName};
use http_text::{from_lines, to_lines};
use spin_sdk::wasip3::http::types::{
    ErrorCode, Fields, HeaderError, Request as HostRequest, Response as HostResponse,
};
use spin_sdk::wasip3::wit_future;

use crate::body::Answer;
use crate::filter::exports::doorbuster::http::filter as whole;
use crate::serve::{Headers, head, respond, to_whole};
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
        Decision::Answer(answer) => {
            let (response, work) = respond(answer.into())?;
            spin_sdk::wit_bindgen::spawn(work);
            Ok(response)
        }
        Decision::Pass(changes) => {
            let request = changed_request(request, &changes).map_err(internal)?;
            let mut response = spin_sdk::http::next(request).await?;
            let response = response.body_mut().take_unstarted();
            let response = response.ok_or_else(|| internal("the response was read"))?;
            changed_response(response, &changes.response).map_err(internal)
        }
    }
}

fn changed_request(request: HostRequest, changes: &Changes) -> Result<HostRequest, HeaderError> {
    if changes.remove.is_empty() && changes.insert.is_empty() {
        return Ok(request);
    }
    let fields = request.get_headers().clone();
    for name in &changes.remove {
        fields.delete(name.as_str())?;
    }
    set(&fields, &changes.insert)?;
    let (method, scheme) = (request.get_method(), request.get_scheme());
    let (path, authority) = (request.get_path_with_query(), request.get_authority());
    let options = request.get_options();
    let (_read, result) = wit_future::new(|| Ok(()));
    let (contents, trailers) = HostRequest::consume_body(request, result);
    let (changed, _sent) = HostRequest::new(fields, Some(contents), trailers, options);
    let refused = |()| HeaderError::InvalidSyntax;
    changed.set_method(&method).map_err(refused)?;
    changed.set_scheme(scheme.as_ref()).map_err(refused)?;
    changed.set_path_with_query(path.as_deref()).map_err(refused)?;
    changed.set_authority(authority.as_deref()).map_err(refused)?;
    Ok(changed)
}

fn changed_response(
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
    let decision = match head_of(request) {
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

fn head_of(request: whole::Head) -> Option<Head> {
    let mut head = Head::new(());
    *head.method_mut() = request.method.parse().ok()?;
    *head.uri_mut() = request.path_with_query.parse().ok()?;
    *head.headers_mut() = from_lines(&request.headers.into())?;
    Some(head)
}
