//! Paths of rules, which stand for one path or for all paths below it.

use crate::decode_path;

/// The end of a pattern that stands for all paths below it, as in Spin's routes.
const WILDCARD: &str = "/...";

/// A path, or with `/...` at its end the path and everything below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    /// The path without a slash at its end.
    path: String,
    /// Whether paths below it match, too.
    is_wildcard: bool,
}

impl PathPattern {
    /// Every path.
    pub fn all() -> Self {
        Self { path: String::new(), is_wildcard: true }
    }

    /// Reads a pattern. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (path, is_wildcard) = match text.strip_suffix(WILDCARD) {
            Some(path) => (path, true),
            None => (text, false),
        };
        let path = path.strip_suffix('/').unwrap_or(path);
        if !text.starts_with('/') {
            return Err("it must begin with `/`");
        }
        if !path.is_empty() && decode_path(path).as_deref() != Some(path) {
            return Err("it must be written without escapes and without empty or dot segments");
        }
        if path.split('/').any(is_other_pattern) {
            return Err(
                "no path matches it: the only pattern is `/...` at the end, and a query is not part \
                 of a path",
            );
        }
        Ok(Self { path: path.into(), is_wildcard })
    }

    /// Whether a path matches. It must be decoded.
    pub fn matches(&self, path: &str) -> bool {
        let path = path.strip_suffix('/').unwrap_or(path);
        match path.strip_prefix(self.path.as_str()) {
            Some("") => true,
            Some(rest) => self.is_wildcard && rest.starts_with('/'),
            None => false,
        }
    }
}

/// Whether a segment looks like a pattern of another syntax. It would be compared as it is, and the rule
/// would never apply.
fn is_other_pattern(segment: &str) -> bool {
    segment.starts_with([':', '{']) || segment.contains(['*', '?', '#']) || segment.contains("...")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_for_whole_segments() {
        let admin = PathPattern::parse("/admin/...").unwrap();
        for path in ["/admin", "/admin/", "/admin/a/b"] {
            assert!(admin.matches(path), "{path}");
        }
        for path in ["/", "/administrator", "/a/admin"] {
            assert!(!admin.matches(path), "{path}");
        }
        let one = PathPattern::parse("/one/").unwrap();
        assert!(one.matches("/one") && one.matches("/one/") && !one.matches("/one/a"));
        assert_eq!(PathPattern::parse("/..."), Ok(PathPattern::all()));
        assert!(PathPattern::all().matches("/") && PathPattern::all().matches("/a/b/"));
    }

    #[test]
    fn other_patterns_are_refused() {
        for text in ["", "a", "/a//b", "/a/../b", "/%61", "/:id", "/{id}", "/a*", "/a?b", "/.../b"]
        {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
    }
}
