//! Responses with entity tags, and responses for problems.

use bytes::Bytes;
use figures::Etag;
use guest_http::{Answer, answer, problem};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use intake::Problem;

/// The response with a content, or 304 if the client already has it.
pub fn content(head: &Parts, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let body = body.into();
    let etag = Etag::new(&body);
    let mut response = if is_known(&head.headers, &etag) {
        let mut response = Answer::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        answer(StatusCode::OK, content_type, body)
    };
    let headers = response.headers_mut();
    // The client may store the content, but must revalidate it for each use: without changes the
    // response is only a 304.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // A tag consists of hexadecimal digits in quotes, which are valid in a header.
    if let Ok(value) = HeaderValue::from_str(etag.as_str()) {
        headers.insert(header::ETAG, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn is_known(headers: &HeaderMap, etag: &Etag) -> bool {
    let fields = headers.get_all(header::IF_NONE_MATCH).iter();
    fields.filter_map(|field| field.to_str().ok()).any(|field| etag.matches(field))
}

/// The response for a problem of a request whose method must be POST.
pub fn post_failure(what: &Problem) -> Answer {
    let mut response = problem(what);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The response for a problem of a request whose method must be GET or HEAD.
pub fn failure(what: &Problem) -> Answer {
    let mut response = post_failure(what);
    let headers = response.headers_mut();
    if headers.contains_key(header::ALLOW) {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// The problem with status 404.
pub fn not_found(path: &str) -> Problem {
    let detail = format!(
        "nothing is served at {path}; /openapi.json lists what is, and sales go to POST /purchase"
    );
    Problem::new("urn:doorbuster:problem:not-found", StatusCode::NOT_FOUND, detail)
}

/// The problem with status 404 when no URL of metrics is configured.
pub fn no_metrics() -> Problem {
    let detail = "the state of the pipeline is not available, because the variable `metrics_url` \
                  of the application is empty";
    Problem::new("urn:doorbuster:problem:not-found", StatusCode::NOT_FOUND, detail)
}

/// The problem with status 405.
pub fn method_not_allowed() -> Problem {
    let detail = "only GET and HEAD are allowed here";
    Problem::new("urn:doorbuster:problem:method", StatusCode::METHOD_NOT_ALLOWED, detail)
        .with_field("method")
}

/// The problem with status 503 when the limit of viewers is reached.
pub fn too_many_viewers(viewers_max: usize) -> Problem {
    let detail = format!("{viewers_max} clients read events from this instance; try again");
    Problem::new("urn:doorbuster:problem:busy", StatusCode::SERVICE_UNAVAILABLE, detail)
}
