//! Handles one request and its answer: the rules of HTTP that do not depend on the handler.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header,
};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use wasmtime_wasi_http::WasiBody;

use super::body::RequestBody;
use super::metrics::Refusals;
use super::problem::Problem;

/// Handles the requests of a port; the second argument is the address of the client.
pub type Handler =
    Arc<dyn Fn(Request<RequestBody>, SocketAddr) -> BoxFuture<'static, Answer> + Send + Sync>;

/// A response.
pub type Answer = Response<WasiBody>;

/// The most header fields of a request; hyper's limit for HTTP/1.1.
const FIELDS_MAX: usize = 100;

/// Handles a request. If the host answers it without the handler, it is counted in `refusals`.
pub(super) fn exchange(
    handler: &Handler,
    refusals: &Refusals,
    body_timeout: Duration,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> impl Future<Output = Answer> + use<> {
    let method = request.method().clone();
    let checked = check(&request).inspect_err(|problem| refusals.count(*problem));
    let answer = checked.map(|()| {
        let (mut head, body) = request.into_parts();
        let body = RequestBody::new(body, &mut head, body_timeout);
        remove_named_by_connection(&mut head.headers);
        handler(Request::from_parts(head, body), peer)
    });
    async move {
        let answer = match answer {
            Ok(answer) => answer.await,
            Err(problem) => problem.response(),
        };
        without_content(&method, answer)
    }
}

fn check(request: &Request<Incoming>) -> Result<(), Problem> {
    let headers = request.headers();
    if request.method() == Method::CONNECT {
        return Err(Problem::Method);
    }
    if headers.len() > FIELDS_MAX {
        return Err(Problem::HeadTooLarge);
    }
    if !is_only_chunked(headers) {
        return Err(Problem::TransferCoding);
    }
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    if has_valid_host(request.version(), authority, headers) { Ok(()) } else { Err(Problem::Host) }
}

/// Fields that `Connection` cannot remove: they are about the message, or needed to read it.
const OF_MESSAGE: [HeaderName; 5] =
    [header::CONTENT_LENGTH, header::EXPECT, header::HOST, header::TE, header::TRANSFER_ENCODING];

/// Removes the fields that concern only the connection of the client. `Connection`, which names them, is
/// not passed on itself, so that components could not know them.
fn remove_named_by_connection(headers: &mut HeaderMap) {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names =
        values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok());
    let names: Vec<HeaderName> = names.filter(|name| !OF_MESSAGE.contains(name)).collect();
    for name in names {
        headers.remove(name);
    }
}

/// Whether the body has no transfer coding other than `chunked`, which is the only one that this
/// server decodes.
fn is_only_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(only), None) => only.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

/// Whether the host is specified exactly once: RFC 9112, section 3.2, and RFC 9113, section 8.3.1.
fn has_valid_host(version: Version, authority: Option<&str>, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next().map(HeaderValue::to_str), hosts.next()) {
        (_, Some(_)) | (Some(Err(_)), None) => return false,
        (Some(Ok(host)), None) => Some(host.trim()),
        (None, None) => None,
    };
    match (version, authority, host) {
        (Version::HTTP_2, Some(authority), Some(host)) => {
            is_host(authority) && host.eq_ignore_ascii_case(authority)
        }
        // HTTP/1.1 requires the field even if there is an authority, which takes precedence.
        (Version::HTTP_11, _, None) => false,
        (_, authority, host) => authority.into_iter().chain(host).all(is_host),
    }
}

/// Whether the text is `host[:port]`.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if address.parse::<Ipv6Addr>().is_ok() => (None, port),
        Some(_) => return false,
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (Some(host), port)
        }
    };
    let port = match port.strip_prefix(':') {
        None | Some("") => port.is_empty() || port == ":",
        Some(digits) => {
            digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        }
    };
    port && host.is_none_or(|host| !host.is_empty() && host.bytes().all(is_name_byte))
}

/// Whether this byte is allowed in a registered name of RFC 3986.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte)
}

/// Removes the content of an answer that must not have any. For HTTP/1.1 hyper omits it, but for
/// HTTP/2 it would send it.
pub(super) fn without_content(method: &Method, mut answer: Answer) -> Answer {
    let status = answer.status();
    let none = matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    );
    // An informational response is followed by the final one, which no handler here can send.
    if status.is_informational() {
        return without_content(method, Problem::GuestFailed.response());
    }
    if !none && *method != Method::HEAD {
        return answer;
    }
    match status {
        StatusCode::NO_CONTENT => drop(answer.headers_mut().remove(header::CONTENT_LENGTH)),
        StatusCode::RESET_CONTENT => {
            answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        _ => {}
    }
    answer.map(|_| Empty::new().map_err(|never| match never {}).boxed_unsync())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::text;

    fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn hosts() {
        for host in ["a", "a.b:80", "a:", "127.0.0.1:1", "[::1]", "[::1]:65535", "a_b-c", "%41"] {
            assert!(is_host(host), "{host}");
        }
        for other in ["", ":80", "a b", "a b/c?", "a/b", "u@a", "a:x", "a:65536", "[::1", "[x]:1"] {
            assert!(!is_host(other), "{other}");
        }
    }

    #[test]
    fn the_host_must_be_given_once() {
        let valid = |version, authority, pairs: &[(&'static str, &str)]| {
            has_valid_host(version, authority, &fields(pairs))
        };
        let (http10, http11, http2) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        assert!(valid(http11, None, &[("host", "a")]));
        assert!(!valid(http11, None, &[]));
        assert!(!valid(http11, None, &[("host", "")]));
        assert!(!valid(http11, None, &[("host", "a b/c?")]));
        assert!(!valid(http11, None, &[("host", "a"), ("host", "a")]));
        assert!(!valid(http11, Some("a"), &[]));
        assert!(valid(http11, Some("a"), &[("host", "b")]));
        assert!(valid(http10, None, &[]));
        assert!(!valid(http10, None, &[("host", "a b")]));
        assert!(valid(http2, Some("a"), &[]));
        assert!(valid(http2, Some("a"), &[("host", "A")]));
        assert!(!valid(http2, Some("a"), &[("host", "b")]));
        assert!(!valid(http2, Some("u@a"), &[]));
    }

    #[test]
    fn chunked_is_the_only_accepted_coding() {
        let allowed = |values: &[&str]| {
            let pairs: Vec<_> = values.iter().map(|value| ("transfer-encoding", *value)).collect();
            is_only_chunked(&fields(&pairs))
        };
        assert!(allowed(&[]) && allowed(&["chunked"]) && allowed(&["Chunked"]));
        for other in [&["gzip, chunked"][..], &["gzip", "chunked"], &["gzip"], &[""]] {
            assert!(!allowed(other), "{other:?}");
        }
    }

    #[test]
    fn fields_of_the_connection_are_removed() {
        let mut headers = fields(&[
            ("connection", "close, X-Hop"),
            ("connection", "host,te , x-other,,\"?"),
            ("x-hop", "1"),
            ("x-other", "2"),
            ("x-kept", "3"),
            ("host", "a"),
            ("te", "trailers"),
        ]);
        remove_named_by_connection(&mut headers);
        let mut kept: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        kept.sort_unstable();
        assert_eq!(kept, ["connection", "host", "te", "x-kept"]);
    }

    #[tokio::test]
    async fn content_is_removed_where_http_forbids_it() {
        for (method, status, content, length) in [
            (Method::GET, 200, "body", Some("4")),
            (Method::HEAD, 200, "", Some("4")),
            (Method::HEAD, 404, "", Some("4")),
            (Method::GET, 204, "", None),
            (Method::GET, 205, "", Some("0")),
            (Method::GET, 304, "", Some("4")),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let answer = without_content(&method, text(status, "text/plain", "body".into()));
            let announced = answer.headers().get("content-length").map(|v| v.to_str().unwrap());
            assert_eq!((answer.status(), announced), (status, length), "{method}");
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, content, "{method} {status}");
        }
        let early = text(StatusCode::SWITCHING_PROTOCOLS, "text/plain", "".into());
        assert_eq!(without_content(&Method::GET, early).status(), 500);
    }
}
