//! The path of a request as rules and prefixes apply to it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Decodes a path. `None` if two programs could read it differently: if it has empty, `.` or `..`
/// segments, encoded separators, or bytes that are not text. A rule for `/admin` must also apply to
/// `/%61dmin`, and `/public/../admin` must not be public.
pub fn decode_path(path: &str) -> Option<Cow<'_, str>> {
    let text = percent_decode_str(path).decode_utf8().ok()?;
    // A `%` remains of an invalid or a double encoding.
    if text.contains('%') || path.contains("%2f") || path.contains("%2F") {
        return None;
    }
    if !text.starts_with('/') || text.contains(|c: char| c == '\\' || c == ';' || c.is_control()) {
        return None;
    }
    let segments = text.strip_prefix('/').unwrap_or_default();
    let mut segments = segments.strip_suffix('/').unwrap_or(segments).split('/');
    let is_root = text == "/";
    let is_strange = |segment: &str| matches!(segment, "" | "." | "..");
    (is_root || !segments.any(is_strange)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_with_one_meaning_is_decoded() {
        for (path, decoded) in [
            ("/", "/"),
            ("/a/", "/a/"),
            ("/%61dmin/x", "/admin/x"),
            ("/a%20b", "/a b"),
            ("/.a/b..", "/.a/b.."),
        ] {
            assert_eq!(decode_path(path).as_deref(), Some(decoded), "{path}");
        }
        for path in [
            "",
            "a",
            "*",
            "//",
            "//a",
            "/a//b",
            "/a/./b",
            "/a/../b",
            "/..",
            "/%2e%2e/a",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a;b",
            "/a%00",
            "/%ff",
            "/%2561",
            "/a%",
            "/a%2",
            "/a%0a",
        ] {
            assert_eq!(decode_path(path), None, "{path}");
        }
    }
}
