//! The header fields that Spin adds to a request, and the request's URI as Spin sets it.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};

use super::route::Route;

const PATH_INFO: HeaderName = HeaderName::from_static("spin-path-info");
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
const MATCHED_ROUTE: HeaderName = HeaderName::from_static("spin-matched-route");
const BASE_PATH: HeaderName = HeaderName::from_static("spin-base-path");
const RAW_COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-raw-component-route");
const COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-component-route");
const CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");

/// The prefix of the fields for named segments of the path. This host does not support named
/// segments, so such a field was sent by the client and is removed.
const PATH_MATCH: &str = "spin-path-match-";

/// The client address of a request from another component, as in Spin.
const CHAINED: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Adds the fields to a request that came from `peer` and that `route` matches. Fields of these
/// names from the client are dropped. The URI gets the host, which HTTP/1.1 transmits in a header
/// field.
pub(super) fn add<B>(request: &mut Request<B>, route: &Route, peer: SocketAddr) {
    complete(request);
    let rest = route.rest(request.uri().path()).unwrap_or_default().to_owned();
    let url = request.uri().to_string();
    let headers = request.headers_mut();
    remove_matches(headers);
    for (name, text) in [
        (PATH_INFO, rest),
        (FULL_URL, url),
        (MATCHED_ROUTE, route.written()),
        (BASE_PATH, "/".into()),
        (RAW_COMPONENT_ROUTE, route.written()),
        (COMPONENT_ROUTE, route.prefix().into()),
        (CLIENT_ADDR, peer.to_string()),
    ] {
        match HeaderValue::from_maybe_shared(Bytes::from(text)) {
            Ok(value) => drop(headers.insert(name, value)),
            // A route may contain a character that a field cannot. The client's value must be
            // removed in that case, too.
            Err(_) => drop(headers.remove(name)),
        }
    }
}

/// The same for a request from another component, which may have any path. Its `host` field is the
/// component's name; it is removed, because Spin does not pass it on.
pub(super) fn add_chained<B>(request: &mut Request<B>) {
    request.headers_mut().remove(header::HOST);
    add(request, &Route::Below(String::new()), CHAINED);
}

fn remove_matches(headers: &mut HeaderMap) {
    let matches = |name: &&HeaderName| name.as_str().starts_with(PATH_MATCH);
    let names: Vec<HeaderName> = headers.keys().filter(matches).cloned().collect();
    names.iter().for_each(|name| drop(headers.remove(name)));
}

/// Adds a scheme and an authority to the URI.
fn complete<B>(request: &mut Request<B>) {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    if parts.authority.is_none() {
        let host = request.headers().get(header::HOST);
        parts.authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    }
    let slash = || PathAndQuery::from_static("/");
    parts.scheme.get_or_insert(Scheme::HTTP);
    parts.path_and_query.get_or_insert_with(slash);
    if parts.authority.is_none() {
        // HTTP/1.0 does not require a host.
        parts.scheme = None;
    }
    // `from_parts` cannot fail: there is a scheme, an authority and a path, or only a path.
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(uri: &str, host: Option<&str>, route: &str) -> Request<()> {
        let mut request = Request::get(uri)
            .header("spin-client-addr", "1.1.1.1:1")
            .header("spin-path-match-user", "root")
            .header("other", "kept");
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let mut request = request.body(()).unwrap();
        add(&mut request, &Route::parse(route).unwrap(), "127.0.0.1:9".parse().unwrap());
        request
    }

    #[test]
    fn the_fields_are_those_of_spin() {
        let request = fields("/shop/a?b=c", Some("x:80"), "/shop/...");
        let field = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap());
        for (name, value) in [
            ("spin-path-info", "/a"),
            ("spin-full-url", "http://x:80/shop/a?b=c"),
            ("spin-matched-route", "/shop/..."),
            ("spin-base-path", "/"),
            ("spin-raw-component-route", "/shop/..."),
            ("spin-component-route", "/shop"),
            ("spin-client-addr", "127.0.0.1:9"),
            ("other", "kept"),
        ] {
            assert_eq!(field(name), Some(value), "{name}");
        }
        assert_eq!(field("spin-path-match-user"), None);
        assert_eq!(request.headers().get_all("spin-client-addr").iter().count(), 1);
    }

    #[test]
    fn the_uri_has_the_host() {
        for (uri, host, expected) in [
            ("/a", Some("x:1"), "http://x:1/a"),
            ("http://y/a?q", Some("x"), "http://y/a?q"),
            ("/a", None, "/a"),
        ] {
            assert_eq!(fields(uri, host, "/a").uri().to_string(), expected);
        }
    }
}
