//! Checks of a request to the components that accept sales or events.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use sale::Violation;

use crate::{ITEMS_MAX, Problem};

/// Maximum length of a body with one sale, in bytes.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// Maximum length of a body with several sales, in bytes.
pub const MANY_BODY_BYTES_MAX: usize = 1 << 20;

/// Maximum length of an `Idempotency-Key`, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

/// Maximum length of the `Idempotency-Key` of a request with several sales or events, in bytes. Each
/// of them gets this key with `:` and its index appended, which must still be within the limit of
/// all hops.
pub const MANY_KEY_BYTES_MAX: usize = IDEMPOTENCY_KEY_BYTES_MAX - ":999".len();
const _: () = assert!(ITEMS_MAX <= 1_000, "an index has at most three digits");

/// Name of the header that identifies retries of the same request.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The same name in problems.
pub(crate) const IDEMPOTENCY_KEY_FIELD: &str = "Idempotency-Key";

/// Name of the header of the W3C trace context.
pub const TRACEPARENT: &str = "traceparent";

/// The ids that are not valid in a trace context.
const TRACE_ID_NONE: &str = "00000000000000000000000000000000";
const PARENT_ID_NONE: &str = "0000000000000000";

/// The metadata that is passed on with a sale.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// The request's `Idempotency-Key`, without quotes.
    pub idempotency_key: Option<String>,
    /// The request's `traceparent`; None if it is missing or not well-formed.
    pub traceparent: Option<String>,
}

impl Context {
    /// Whether the caller's trace is sampled: bit 0 of the flags, which are the last two digits.
    pub fn is_sampled(&self) -> bool {
        let last = self.traceparent.as_ref().and_then(|value| value.chars().next_back());
        last.and_then(|digit| digit.to_digit(16)).is_some_and(|flags| flags & 1 == 1)
    }
}

/// Checks everything except the body: method, media type, announced length and context.
pub fn check(
    method: &Method,
    headers: &HeaderMap,
    media_types: &[&str],
    body_bytes_max: usize,
) -> Result<Context, Problem> {
    if *method != Method::POST {
        return Err(method_not_allowed(&["POST"]));
    }
    check_media_type(headers, media_types)?;
    check_body(headers, body_bytes_max)?;
    context(headers)
}

/// Checks the coding and the announced length of a body.
pub fn check_body(headers: &HeaderMap, bytes_max: usize) -> Result<(), Problem> {
    check_coding(headers)?;
    if content_length(headers).is_some_and(|length| length > bytes_max as u64) {
        return Err(body_too_large(bytes_max));
    }
    Ok(())
}

/// The announced length of a body. It is 64 bits wide because a `usize` has 32 bits in WebAssembly.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads the context from a request's headers.
pub fn context(headers: &HeaderMap) -> Result<Context, Problem> {
    let idempotency_key = idempotency_key(headers, IDEMPOTENCY_KEY_FIELD)?;
    Ok(Context { idempotency_key, traceparent: traceparent(headers) })
}

/// The problem for an unknown path (404).
pub fn unknown_path(path: &str) -> Problem {
    let detail = format!("nothing is served at {path}");
    Problem::new("urn:doorbuster:problem:not-found", StatusCode::NOT_FOUND, detail)
}

/// The problem for an unknown path (404) of a component that accepts sales.
pub fn not_found(path: &str) -> Problem {
    let mut problem = unknown_path(path);
    problem.detail.push_str("; sales go to POST /purchase");
    problem
}

/// The problem for a body that is too large (413).
pub fn body_too_large(bytes_max: usize) -> Problem {
    let detail = format!("the body must be at most {bytes_max} bytes");
    Problem::new("urn:doorbuster:problem:too-large", StatusCode::PAYLOAD_TOO_LARGE, detail)
        .with_field("body")
}

/// The problem for a body that cannot be read to its end (400).
pub fn body_broken() -> Problem {
    Violation::new("body", "could not be read to its end").into()
}

/// The problem for a body with a media type that is not accepted (415).
pub fn wrong_media_type(accepted: &[impl AsRef<str>]) -> Problem {
    let accepted: Vec<_> = accepted.iter().map(AsRef::as_ref).collect();
    let detail = format!("the content type must be {}", accepted.join(" or "));
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Problem::new("urn:doorbuster:problem:media-type", status, detail)
        .with_field(header::CONTENT_TYPE.as_str())
}

/// The problem for a method that is not allowed (405).
pub fn method_not_allowed(allowed: &[&str]) -> Problem {
    let detail = format!("only {} is allowed here", allowed.join(" or "));
    Problem::new("urn:doorbuster:problem:method", StatusCode::METHOD_NOT_ALLOWED, detail)
        .with_field("method")
}

/// Checks the media type of a body. A charset, if there is one, must be UTF-8.
pub fn check_media_type(headers: &HeaderMap, accepted: &[impl AsRef<str>]) -> Result<(), Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut parts = value.unwrap_or("").split(';').map(str::trim);
    let media_type = parts.next().unwrap_or("");
    let known = accepted.iter().any(|a| a.as_ref().eq_ignore_ascii_case(media_type));
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
            charset.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    if known && utf8 {
        return Ok(());
    }
    let mut problem = wrong_media_type(accepted);
    problem.detail.push_str(" in UTF-8");
    Err(problem)
}

/// Compressed bodies are refused, because they are not decompressed here.
fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let plain = |value: &HeaderValue| {
        let mut codings = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"))
    };
    if values.all(plain) {
        return Ok(());
    }
    let detail = "the body must not be compressed or otherwise encoded";
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(Problem::new("urn:doorbuster:problem:media-type", status, detail)
        .with_field(header::CONTENT_ENCODING.as_str()))
}

/// Reads the key from the header `name`: visible ASCII, either bare or as a quoted string, as in the
/// IETF draft.
pub fn idempotency_key(headers: &HeaderMap, name: &str) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(wrong_key(name, "must occur only once"));
    }
    let text = value.to_str().unwrap_or("").trim();
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    // A quoted string within the quotes would lose its quotes at the next hop, too.
    if quoted.is_some_and(|text| text.contains('"')) {
        return Err(wrong_key(name, "must not contain quotes in a quoted string"));
    }
    let bare = quoted.unwrap_or(text);
    check_key(name, bare, IDEMPOTENCY_KEY_BYTES_MAX)?;
    Ok(Some(bare.into()))
}

fn check_key(name: &str, key: &str, bytes_max: usize) -> Result<(), Problem> {
    if (1..=bytes_max).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(wrong_key(name, format!("must be 1 to {bytes_max} visible ASCII characters")))
}

/// Checks that the key of a request, with an index appended, stays within the limit of a key.
pub fn check_many_key(name: &str, key: &str) -> Result<(), Problem> {
    check_key(name, key, MANY_KEY_BYTES_MAX)
}

/// The key of one of several sales or events in a request.
pub fn key_of_item(key: &str, index: usize) -> String {
    format!("{key}:{index}")
}

fn wrong_key(name: &str, reason: impl Into<String>) -> Problem {
    Violation::new(name.to_owned(), reason).into()
}

/// Reads `00-<32 hex>-<16 hex>-<2 hex>`, where neither id is all zeros. Any other value is ignored,
/// as the W3C specification demands.
pub fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let mut parts = text.split('-');
    for (length, forbidden) in [(2, "ff"), (32, TRACE_ID_NONE), (16, PARENT_ID_NONE), (2, "")] {
        let part = parts.next()?;
        if part.len() != length || part == forbidden || !part.bytes().all(is_lower_hex) {
            return None;
        }
    }
    parts.next().is_none().then(|| text.into())
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect()
    }

    fn status(method: Method, pairs: &[(&'static str, &str)]) -> u16 {
        match check(&method, &headers(pairs), &["application/json"], 10) {
            Ok(_) => 200,
            Err(problem) => problem.status,
        }
    }

    #[test]
    fn method_media_type_and_length() {
        let json = ("content-type", "application/json");
        assert_eq!(status(Method::POST, &[json]), 200);
        assert_eq!(
            status(Method::POST, &[("content-type", "Application/JSON; charset=UTF-8")]),
            200
        );
        assert_eq!(status(Method::GET, &[json]), 405);
        assert_eq!(status(Method::POST, &[]), 415);
        assert_eq!(status(Method::POST, &[("content-type", "text/plain")]), 415);
        assert_eq!(
            status(Method::POST, &[("content-type", "application/json; charset=latin1")]),
            415
        );
        assert_eq!(status(Method::POST, &[json, ("content-length", "10")]), 200);
        for length in ["11", "4294967296", "18446744073709551615"] {
            assert_eq!(status(Method::POST, &[json, ("content-length", length)]), 413);
        }
        for coding in ["", "identity", "Identity"] {
            assert_eq!(status(Method::POST, &[json, ("content-encoding", coding)]), 200);
        }
        for coding in ["gzip", "identity, gzip", "br"] {
            assert_eq!(status(Method::POST, &[json, ("content-encoding", coding)]), 415);
        }
        let twice = [json, ("content-encoding", "identity"), ("content-encoding", "gzip")];
        let mut fields = HeaderMap::new();
        for (name, value) in twice {
            fields.append(name, value.parse().unwrap());
        }
        assert!(check(&Method::POST, &fields, &["application/json"], 10).is_err());
    }

    #[test]
    fn idempotency_keys() {
        let key = |value: &str| context(&headers(&[("idempotency-key", value)]));
        assert_eq!(key("abc").unwrap().idempotency_key.as_deref(), Some("abc"));
        assert_eq!(key("\"abc\"").unwrap().idempotency_key.as_deref(), Some("abc"));
        for wrong in ["", "\"\"", "\"\"abc\"\"", "a b", &"x".repeat(129)] {
            let problem = key(wrong).unwrap_err();
            assert_eq!((problem.status, problem.field.as_deref()), (400, Some("Idempotency-Key")));
        }
        let twice = headers(&[("idempotency-key", "a"), ("idempotency-key", "b")]);
        assert_eq!(context(&twice).unwrap_err().status, 400);
    }

    #[test]
    fn a_malformed_traceparent_is_dropped() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parse = |value: &str| context(&headers(&[("traceparent", value)])).unwrap().traceparent;
        assert_eq!(parse(good).as_deref(), Some(good));
        let no_trace = good.replace("0af7651916cd43dd8448eb211c80319c", TRACE_ID_NONE);
        let no_parent = good.replace("b7ad6b7169203331", PARENT_ID_NONE);
        let version = good.replacen("00", "ff", 1);
        let more = format!("{good}-x");
        for wrong in ["", "00-1-2-3", &good.to_uppercase(), &more, &no_trace, &no_parent, &version]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
