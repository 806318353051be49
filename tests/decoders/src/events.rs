//! Requests with any event: JSON with a schema and a key, CloudEvents, and signatures.
//!
//! Input: the method, a line for each header, an empty line, the body.

use std::sync::LazyLock;

use bytes::Bytes;
use event_routes::{Config, Event, Route, Routes};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use intake::{ITEMS_MAX, Problem};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use crate::lines;

const ROUTES: &str = r#"{"routes": [
    {"path": "/json", "topic": "t", "headers": {"x-tenant": "tenant"}, "key": {"pointer": "/a"},
     "schema": {"properties": {"a": {"type": "string", "pattern": "^[a-z]*$"}}}},
    {"path": "/events", "topic": "t", "format": "cloudevents",
     "media_types": ["application/json", "text/plain"], "idempotency_key": {"claim": true}},
    {"path": "/body", "topic": "t", "format": "bytes",
     "signature": {"body": {"header": "x-signature", "prefix": "v=", "secrets": ["secret"]}}},
    {"path": "/standard", "topic": "t",
     "signature": {"standard_webhooks": {"secrets": ["secret"]}}},
    {"path": "/timestamped", "topic": "t",
     "signature": {"timestamped": {"header": "x-signature", "secrets": ["secret"]}}},
    {"path": "/fields", "topic": "t", "key": {"pointer": "/customer/id"},
     "batch": {"path": "/batch"}, "idempotency_key": {"claim": true}, "fields": [
        {"name": "customer", "type": {"object": {"fields": [
            {"name": "id", "type": {"string": {"bytes_max": 20}}}]}}},
        {"name": "paid", "type": "boolean", "required": false},
        {"name": "total", "type": {"f64": {"min": 0}}, "required": false},
        {"name": "lines", "type": {"list": {"items_max": 9, "of": {"i64": {}}}}}]}
]}"#;

static COMPILED: LazyLock<Routes> = LazyLock::new(|| {
    let secrets = [("secret".to_owned(), "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0".to_owned())];
    Routes::compile(Config::parse(ROUTES).unwrap(), &secrets.into()).unwrap()
});

/// The time, in seconds since 1970.
const NOW_S: u64 = 1_700_000_000;

/// Maximum size of a problem.
const PROBLEM_BYTES_MAX: usize = 4 << 10;

/// Maximum size of what an event has in addition to its part of the request.
const EVENT_BYTES_MAX: usize = 8 << 10;

/// Checks an input.
pub fn check(bytes: &[u8]) {
    let mut rest = bytes;
    let (method, headers) = lines::head(&lines::block(&mut rest));
    for path in ["/json", "/events", "/body", "/standard", "/timestamped", "/fields"] {
        let route = COMPILED.find(path).unwrap().route();
        match events(route, &method, &headers, rest.to_vec().into()) {
            Ok(events) => check_events(route, &events, bytes.len()),
            Err(problem) => check_problem(&problem),
        }
    }
    check_binary(&headers, rest);
    check_fields(&headers, rest);
}

fn events(
    route: &Route,
    method: &Method,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Vec<Event>, Problem> {
    let context = route.check(method, headers)?;
    route.events(context, headers, body, NOW_S)
}

fn check_events(route: &Route, events: &[Event], request_bytes: usize) {
    assert!((1..=ITEMS_MAX).contains(&events.len()));
    let length = |event: &Event| {
        let headers = event.headers.iter().map(|(name, value)| name.len() + value.len());
        event.value.len() + event.key.as_ref().map_or(0, Vec::len) + headers.sum::<usize>()
    };
    let length: usize = events.iter().map(length).sum();
    assert!(length <= 2 * request_bytes + events.len() * EVENT_BYTES_MAX, "{length} bytes");
    for event in events {
        let Some((headers, body)) = in_binary_mode(event) else { continue };
        if event.headers.iter().any(|(name, _)| name == "ce_id")
            && !is_cloud_event(&headers)
            && let Ok(context) = route.check(&Method::POST, &headers)
        {
            let again = route.events(context, &headers, body, NOW_S);
            assert_eq!(again.as_deref(), Ok(&[event.clone()][..]));
        }
    }
}

/// A request in the binary mode is also checked without its media type.
fn check_binary(headers: &HeaderMap, body: &[u8]) {
    let mut headers = headers.clone();
    headers.remove("content-type");
    let route = COMPILED.find("/events").unwrap().route();
    match events(route, &Method::POST, &headers, body.to_vec().into()) {
        Ok(events) => assert_eq!(events[0].value, body),
        Err(problem) => check_problem(&problem),
    }
}

/// The canonical form of an object with typed fields is its own canonical form, and a batch treats
/// each of its items as a request with this item.
fn check_fields(headers: &HeaderMap, body: &[u8]) {
    let route = COMPILED.find("/fields").unwrap().route();
    let mut headers = headers.clone();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let one = |body: Bytes| events(route, &Method::POST, &headers, body).map(|mut it| it.remove(0));
    let event = one(body.to_vec().into());
    if let Ok(event) = &event {
        assert_eq!(one(event.value.clone()).as_ref(), Ok(event));
    }
    let Ok(context) = route.check_batch(&Method::POST, &headers) else { return };
    let batch = Bytes::from([b"[", body, b"]"].concat());
    if let (Ok(items), Ok(event)) = (route.batch_events(&context, &headers, &batch, NOW_S), event) {
        assert_eq!(items.len(), 1);
        assert_eq!(items[0].as_ref().unwrap().value, event.value);
    }
}

/// The request for an event, as a client sends it in the binary mode; `None` if the media type of the
/// data is not valid in a header.
fn in_binary_mode(event: &Event) -> Option<(HeaderMap, Bytes)> {
    let field = |(name, value): &(String, Vec<u8>)| {
        let (name, value) = match name.strip_prefix("ce_") {
            Some(attribute) => {
                let value = percent_encode(value, NON_ALPHANUMERIC).to_string();
                (format!("ce-{attribute}"), value.into_bytes())
            }
            None => (name.clone(), value.clone()),
        };
        let name: Option<HeaderName> = name.parse().ok();
        Some((name?, HeaderValue::from_bytes(&value).ok()?))
    };
    let headers: Option<HeaderMap> = event.headers.iter().map(field).collect();
    Some((headers?, event.value.clone()))
}

/// Whether the data of an event is itself an event, so that the request is not in the binary mode.
fn is_cloud_event(headers: &HeaderMap) -> bool {
    let content_type = headers.get("content-type").map(HeaderValue::as_bytes).unwrap_or_default();
    content_type.trim_ascii().to_ascii_lowercase().starts_with(b"application/cloudevents")
}

fn check_problem(problem: &Problem) {
    assert!(problem.status().is_client_error(), "{problem:?}");
    let length = problem.to_json().len();
    assert!(length <= PROBLEM_BYTES_MAX, "{length} bytes: {problem:?}");
}
