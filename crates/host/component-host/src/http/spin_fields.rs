//! The header fields that Spin adds to a request, and the request's URI as Spin sets it.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};

use super::route::{PATH_MATCH, Route};

const PATH_INFO: HeaderName = HeaderName::from_static("spin-path-info");
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
const MATCHED_ROUTE: HeaderName = HeaderName::from_static("spin-matched-route");
const BASE_PATH: HeaderName = HeaderName::from_static("spin-base-path");
const RAW_COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-raw-component-route");
const COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-component-route");
const CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");

/// The client address of a request from another component, as in Spin.
const CHAINED: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The route of a request from another component, which may have any path.
const ANY: &str = "/...";

/// Adds the fields to a request that came from `peer` and that `route` matches. Fields of these
/// names from the client are dropped. The URI gets the host, which HTTP/1.1 transmits in a header
/// field.
pub(super) fn add<B>(request: &mut Request<B>, route: &Route, peer: SocketAddr) {
    complete(request);
    let uri = request.uri().clone();
    remove_matches(request.headers_mut());
    let matched = route.matches(uri.path()).unwrap_or_default();
    for (name, value) in matched.named {
        set(request, name.clone(), value.to_owned());
    }
    let written = route.written();
    set(request, PATH_INFO, matched.rest);
    set(request, MATCHED_ROUTE, route.absolute());
    set(request, RAW_COMPONENT_ROUTE, written.into());
    set(request, COMPONENT_ROUTE, written.strip_suffix("/...").unwrap_or(written).into());
    add_common(request, peer);
}

/// The same for a request from another component, which may have any path. Its `host` field is the
/// component's name; it is removed, because Spin does not pass it on.
pub(super) fn add_chained<B>(request: &mut Request<B>) {
    request.headers_mut().remove(header::HOST);
    complete(request);
    let path = request.uri().path().to_owned();
    remove_matches(request.headers_mut());
    set(request, PATH_INFO, path);
    set(request, MATCHED_ROUTE, ANY.into());
    set(request, RAW_COMPONENT_ROUTE, ANY.into());
    set(request, COMPONENT_ROUTE, String::new());
    add_common(request, CHAINED);
}

fn add_common<B>(request: &mut Request<B>, peer: SocketAddr) {
    let url = request.uri().to_string();
    set(request, FULL_URL, url);
    set(request, BASE_PATH, "/".into());
    set(request, CLIENT_ADDR, peer.to_string());
}

/// Sets a field, in place of all fields of this name that the client sent.
fn set<B>(request: &mut Request<B>, name: HeaderName, text: String) {
    let headers = request.headers_mut();
    match HeaderValue::from_maybe_shared(Bytes::from(text)) {
        Ok(value) => drop(headers.insert(name, value)),
        // The path may contain a character that a field cannot. The client's value must be
        // removed in that case, too.
        Err(_) => drop(headers.remove(name)),
    }
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
            .header("spin-path-match-user", "root")
            .header("Spin-Path-Match-Other", "root")
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
        let request = fields("/shop/a/b/?c=d", Some("x:80"), "/shop/:user/...");
        let field = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap());
        for (name, value) in [
            ("spin-path-info", "/b/"),
            ("spin-full-url", "http://x:80/shop/a/b/?c=d"),
            ("spin-matched-route", "/shop/:user/..."),
            ("spin-base-path", "/"),
            ("spin-raw-component-route", "/shop/:user/..."),
            ("spin-component-route", "/shop/:user"),
            ("spin-path-match-user", "a"),
            ("spin-client-addr", "127.0.0.1:9"),
            ("other", "kept"),
        ] {
            assert_eq!(field(name), Some(value), "{name}");
        }
        for name in ["spin-client-addr", "spin-path-match-user"] {
            assert_eq!(request.headers().get_all(name).iter().count(), 1, "{name}");
        }
        assert_eq!(field("spin-path-match-other"), None, "no client can set it");
    }

    #[test]
    fn a_request_of_another_component_has_any_path() {
        let mut request = Request::get("http://c.spin.internal/a//b/")
            .header("host", "c.spin.internal")
            .header("spin-path-match-user", "root")
            .body(())
            .unwrap();
        add_chained(&mut request);
        let field = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap());
        for (name, value) in [
            ("spin-path-info", Some("/a//b/")),
            ("spin-matched-route", Some("/...")),
            ("spin-component-route", Some("")),
            ("spin-client-addr", Some("0.0.0.0:0")),
            ("spin-path-match-user", None),
            ("host", None),
        ] {
            assert_eq!(field(name), value, "{name}");
        }
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
