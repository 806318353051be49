//! What the cache does with a request.

use http::header::{CONTENT_LENGTH, CONTENT_LOCATION, COOKIE, LOCATION};
use http::{HeaderMap, HeaderName, Method, Response, Uri, header};

use crate::directives::RequestDirectives;
use crate::key::{Key, Variant, is_like, variant};
use crate::settings::Rules;
use crate::status::Forwarded;

/// The header fields that ask for a part of a response, or whose condition only the component can
/// check.
const PASSED: [HeaderName; 4] =
    [header::RANGE, header::IF_RANGE, header::IF_MATCH, header::IF_UNMODIFIED_SINCE];

/// The header fields with which a component may treat the request as one with another method.
const METHOD_OVERRIDES: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
];

/// The header fields in which clients send credentials.
const CREDENTIALS: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-access-token"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-auth-token"),
];

/// What the cache does with a request.
#[derive(Debug)]
pub enum Plan {
    /// It is passed on, and its response is not stored.
    Pass(Pass),
    /// It may be answered with a stored response, and its response may be stored.
    Look(Box<Lookup>),
}

/// A request that is passed on.
#[derive(Debug)]
pub struct Pass {
    /// Why.
    pub reason: Forwarded,
    /// The target whose stored responses are removed after a success.
    invalidates: Option<Key>,
}

/// A request that may be answered with a stored response.
#[derive(Debug)]
pub struct Lookup {
    /// The target.
    pub key: Key,
    /// Whether the method is `HEAD`.
    pub is_head: bool,
    /// The headers of the request.
    pub headers: HeaderMap,
    /// Whether it has `Authorization` or a field like it, so that only responses for everyone answer
    /// it.
    pub has_authorization: bool,
    /// Whether it has `Cookie`, so that only responses for everyone or for this cookie answer it.
    pub has_cookie: bool,
    pub(crate) directives: RequestDirectives,
}

/// The target of a request.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The scheme of the URL.
    pub scheme: &'a str,
    /// `host[:port]`.
    pub authority: &'a str,
    /// The path and the query.
    pub path_and_query: &'a str,
}

/// Decides what the cache does with a request.
pub fn plan(method: &Method, target: Target<'_>, headers: &HeaderMap) -> Plan {
    let key = Key::new(target.scheme, target.authority, target.path_and_query);
    let pass = |reason| Plan::Pass(Pass { reason, invalidates: None });
    let is_head = method == Method::HEAD;
    if method != Method::GET && !is_head {
        let invalidates = key.filter(|_| !method.is_safe());
        return Plan::Pass(Pass { reason: Forwarded::Method, invalidates });
    }
    let directives = RequestDirectives::read(headers);
    if directives.no_store {
        return pass(Forwarded::Request);
    }
    let has_content = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
        || headers.contains_key(header::TRANSFER_ENCODING);
    let is_passed = contains(headers, &PASSED) || contains(headers, &METHOD_OVERRIDES);
    match key {
        Some(key) if !has_content && !is_passed => Plan::Look(Box::new(Lookup {
            key,
            is_head,
            has_authorization: contains(headers, &CREDENTIALS),
            has_cookie: headers.contains_key(COOKIE),
            headers: headers.clone(),
            directives,
        })),
        _ => pass(Forwarded::Bypass),
    }
}

/// Whether there is a header with one of these names, or one that components may take for it.
fn contains(headers: &HeaderMap, names: &[HeaderName]) -> bool {
    headers.keys().any(|name| names.iter().any(|other| is_like(name, other)))
}

impl Pass {
    /// The targets whose stored responses are not valid any more after this response (RFC 9111, 4.4):
    /// that of the request, and those on the same host that the response names.
    pub fn invalidated(&self, response: &Response<()>) -> Vec<Key> {
        let status = response.status();
        let key = match &self.invalidates {
            Some(key) if status.is_success() || status.is_redirection() => key,
            _ => return Vec::new(),
        };
        let named = |name: &HeaderName| {
            let text = response.headers().get(name)?.to_str().ok()?;
            let uri: Uri = text.parse().ok()?;
            let path = uri.path_and_query()?.as_str();
            let other = match (uri.scheme_str(), uri.authority()) {
                (Some(scheme), Some(authority)) => Key::new(scheme, authority.as_str(), path)?,
                _ => key.with_path(path)?,
            };
            (key.with_path(path).as_ref() == Some(&other)).then_some(other)
        };
        let others = [LOCATION, CONTENT_LOCATION];
        let mut keys: Vec<_> = others.iter().filter_map(named).collect();
        keys.push(key.clone());
        keys
    }
}

impl Lookup {
    /// The variant that the request selects among the responses with this `Vary`.
    pub fn variant(&self, vary: &[HeaderName], rules: &Rules) -> Variant {
        variant(&self.headers, vary, &rules.key_headers)
    }

    /// Whether the request has credentials, so that a response is stored and used only if it says
    /// that it is not for one user.
    pub fn has_credentials(&self) -> bool {
        self.has_authorization || self.has_cookie
    }

    /// Whether the response to another request that is in progress may answer this one.
    pub fn accepts_shared(&self) -> bool {
        !self.directives.no_cache && self.directives.max_age != Some(0)
    }

    /// Whether the request must not be passed on.
    pub fn is_only_if_cached(&self) -> bool {
        self.directives.only_if_cached
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn target(path_and_query: &str) -> Target<'_> {
        Target { scheme: "http", authority: "shop.example", path_and_query }
    }

    #[test]
    fn only_requests_that_a_stored_response_can_answer_are_looked_up() {
        for (method, fields, expected) in [
            (Method::GET, &[][..], None),
            (Method::HEAD, &[("content-length", "0")], None),
            (Method::GET, &[("authorization", "Bearer x"), ("cookie", "a=b")], None),
            (Method::GET, &[("cache-control", "no-cache")], None),
            (Method::GET, &[("cache-control", "no-store")], Some(Forwarded::Request)),
            (Method::GET, &[("content-length", "1")], Some(Forwarded::Bypass)),
            (Method::GET, &[("range", "bytes=0-1")], Some(Forwarded::Bypass)),
            (Method::GET, &[("if-match", "\"a\"")], Some(Forwarded::Bypass)),
            (Method::GET, &[("x-http-method-override", "DELETE")], Some(Forwarded::Bypass)),
            (Method::GET, &[("x_http_method_override", "DELETE")], Some(Forwarded::Bypass)),
            (Method::OPTIONS, &[], Some(Forwarded::Method)),
            (Method::POST, &[], Some(Forwarded::Method)),
        ] {
            let reason = match plan(&method, target("/a"), &headers(fields)) {
                Plan::Look(_) => None,
                Plan::Pass(pass) => Some(pass.reason),
            };
            assert_eq!(reason, expected, "{method} {fields:?}");
        }
        let long = plan(&Method::GET, target(&"/".repeat(5_000)), &HeaderMap::new());
        assert!(matches!(long, Plan::Pass(_)), "{long:?}");
    }

    #[test]
    fn a_change_invalidates_its_target_and_what_its_response_names() {
        let keys = |method: Method, status, fields: &[(&'static str, &str)]| {
            let Plan::Pass(pass) = plan(&method, target("/a?b"), &HeaderMap::new()) else {
                panic!("{method} is looked up");
            };
            let mut response = Response::builder().status(status).body(()).unwrap();
            *response.headers_mut() = headers(fields);
            let mut keys: Vec<_> =
                pass.invalidated(&response).iter().map(|key| key.as_str().to_owned()).collect();
            keys.sort();
            keys
        };
        let own = "http://shop.example/a?b";
        let unknown = Method::from_bytes(b"PURGE").unwrap();
        for (method, status, fields, expected) in [
            (Method::POST, 200, &[][..], &[own][..]),
            (unknown, 204, &[], &[own]),
            (Method::PUT, 303, &[("location", "/c")], &[own, "http://shop.example/c"]),
            (
                Method::POST,
                201,
                &[("location", "http://SHOP.example:80/c")],
                &[own, "http://shop.example/c"],
            ),
            (Method::POST, 201, &[("location", "http://other.example/c")], &[own]),
            (Method::POST, 201, &[("location", "https://shop.example/c")], &[own]),
            (Method::POST, 400, &[("location", "/c")], &[]),
            (Method::POST, 500, &[], &[]),
            (Method::OPTIONS, 200, &[("location", "/c")], &[]),
        ] {
            assert_eq!(keys(method.clone(), status, fields), expected, "{method} {fields:?}");
        }
    }
}
