//! The conditions of requests (RFC 9110, 13).

use std::time::SystemTime;

use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};

/// A time in a header.
pub fn date(value: Option<&HeaderValue>) -> Option<SystemTime> {
    httpdate::parse_http_date(value?.to_str().ok()?.trim()).ok()
}

/// Whether two entity tags are the same when their strength does not matter.
pub fn is_same_tag(a: &[u8], b: &[u8]) -> bool {
    let opaque = |tag: &'_ [u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    opaque(a) == opaque(b)
}

/// Whether the client with these request headers has the response with this entity tag and this time
/// of the last modification already.
pub fn is_unmodified(
    request: &HeaderMap,
    etag: Option<&HeaderValue>,
    last_modified: Option<&HeaderValue>,
) -> bool {
    if request.contains_key(IF_NONE_MATCH) {
        let lines = request.get_all(IF_NONE_MATCH).iter();
        return lines.map(HeaderValue::as_bytes).any(|line| {
            line.trim_ascii() == b"*"
                || etag.is_some_and(|etag| {
                    tags(line).iter().any(|tag| is_same_tag(tag, etag.as_bytes().trim_ascii()))
                })
        });
    }
    match (date(request.get(IF_MODIFIED_SINCE)), date(last_modified)) {
        (Some(since), Some(modified)) => modified <= since,
        _ => false,
    }
}

/// The entity tags of a list. A tag may contain commas.
fn tags(mut line: &[u8]) -> Vec<&[u8]> {
    let mut tags = Vec::new();
    while let Some(open) = line.iter().position(|byte| *byte == b'"') {
        let (before, quoted) = line.split_at(open);
        let Some(close) = quoted.iter().skip(1).position(|byte| *byte == b'"') else { break };
        let start = if before.ends_with(b"W/") { open - 2 } else { open };
        let end = open + close + 2;
        tags.extend(line.get(start..end));
        line = line.get(end..).unwrap_or_default();
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::tests::headers;

    #[test]
    fn conditions() {
        let monday = "Mon, 02 Nov 2026 08:00:00 GMT";
        let earlier = "Mon, 02 Nov 2026 07:59:59 GMT";
        for (fields, etag, expected) in [
            (&[][..], Some("\"a\""), false),
            (&[("if-none-match", "\"a\"")], Some("\"a\""), true),
            (&[("if-none-match", "W/\"a\"")], Some("\"a\""), true),
            (&[("if-none-match", "\"a\"")], Some("W/\"a\""), true),
            (&[("if-none-match", "\"b\", W/\"a\" ,\"c\"")], Some("\"a\""), true),
            (&[("if-none-match", "\"b\""), ("if-none-match", "\"a\"")], Some("\"a\""), true),
            (&[("if-none-match", "\"b, c\"")], Some("\"b, c\""), true),
            (&[("if-none-match", "\"b,\"c\"")], Some("\"c\""), false),
            (&[("if-none-match", "a")], Some("a"), false),
            (&[("if-none-match", "\"A\"")], Some("\"a\""), false),
            (&[("if-none-match", "*")], None, true),
            (&[("if-none-match", "\"a\"")], None, false),
            (&[("if-modified-since", monday)], None, true),
            (&[("if-modified-since", earlier)], None, false),
            (&[("if-modified-since", "yesterday")], None, false),
            // The time is ignored if there are entity tags.
            (&[("if-modified-since", monday), ("if-none-match", "\"b\"")], Some("\"a\""), false),
        ] {
            let etag = etag.map(|etag| HeaderValue::from_str(etag).unwrap());
            let modified = HeaderValue::from_static(monday);
            let request = headers(fields);
            assert_eq!(
                is_unmodified(&request, etag.as_ref(), Some(&modified)),
                expected,
                "{fields:?} {etag:?}"
            );
        }
        let request = headers(&[("if-modified-since", monday)]);
        assert!(!is_unmodified(&request, None, None));
    }
}
