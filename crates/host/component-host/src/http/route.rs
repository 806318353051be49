//! Routes of `[[trigger.http]]`: exact paths and trailing wildcards, as in Spin.

/// The path prefix that the host serves, as in Spin.
const RESERVED: &str = "/.well-known/spin";

/// The paths that a route matches. Slashes at the end are ignored, and so are all but one at the
/// beginning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Route {
    /// This path only; the root is empty.
    Exact(String),
    /// This path and everything below it; written with a trailing `/...` or `/*`.
    Below(String),
}

impl Route {
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("route `{text}` must begin with `/`"));
        }
        let trimmed = trim(text);
        let wildcard = trimmed.strip_suffix("/...").or_else(|| trimmed.strip_suffix("/*"));
        let path = wildcard.unwrap_or(trimmed);
        path.split('/').try_for_each(check_segment).map_err(|e| format!("route `{text}`: {e}"))?;
        Ok(match wildcard {
            Some(_) => Route::Below(path.into()),
            None => Route::Exact(path.into()),
        })
    }

    /// The part of the path after the route's own part, empty for an exact route; `None` if the
    /// route does not match. As in Spin, slashes at both ends are ignored.
    pub fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        let inner = path.trim_start_matches('/');
        let slash = path.len().checked_sub(inner.len() + 1)?;
        match self {
            Route::Exact(exact) => {
                (inner.trim_end_matches('/') == exact.trim_matches('/')).then_some("")
            }
            Route::Below(prefix) => {
                let rest = match prefix.trim_matches('/') {
                    "" => path.get(slash..)?,
                    prefix => inner.strip_prefix(prefix)?,
                };
                (rest.is_empty() || rest.starts_with('/')).then_some(rest)
            }
        }
    }

    /// The route without a trailing wildcard.
    pub fn prefix(&self) -> &str {
        match self {
            Route::Exact(path) | Route::Below(path) => path,
        }
    }

    /// The route as it is written in a manifest.
    pub fn written(&self) -> String {
        match self {
            Route::Exact(path) if path.is_empty() => "/".into(),
            Route::Exact(path) => path.clone(),
            Route::Below(prefix) => format!("{prefix}/..."),
        }
    }

    /// How specific the route is: an exact route ranks before a wildcard, and a longer one before a
    /// shorter one.
    pub fn rank(&self) -> (bool, usize) {
        match self {
            Route::Exact(path) => (true, path.len()),
            Route::Below(prefix) => (false, prefix.len()),
        }
    }

    /// Whether the route matches only paths that the host serves.
    pub fn is_reserved(&self) -> bool {
        match self {
            Route::Exact(path) => is_reserved(path),
            Route::Below(prefix) => is_reserved(&format!("{prefix}/")),
        }
    }
}

/// Whether the host serves this path.
pub(crate) fn is_reserved(path: &str) -> bool {
    path.strip_prefix(RESERVED).is_some_and(|rest| rest.starts_with('/'))
}

/// The path with one slash at its beginning and none at its end; the root is empty.
fn trim(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    let after = path.trim_start_matches('/');
    path.get((path.len() - after.len()).saturating_sub(1)..).unwrap_or(path)
}

/// Rejects a segment that is a pattern which this host does not support, or that cannot occur in a
/// request.
fn check_segment(segment: &str) -> Result<(), String> {
    if segment == "..." || segment.contains('*') {
        return Err(
            "a wildcard is supported by this host at the end only, as `/...` or `/*`".into()
        );
    }
    if segment.split('.').any(|part| part.starts_with(':')) {
        return Err("named segments are not supported by this host".into());
    }
    if segment == "." || segment == ".." {
        return Err(format!("clients resolve `{segment}` before they send a request"));
    }
    let mut rest = segment;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '%' if rest.get(1..3).is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())) => {
                3
            }
            'a'..='z' | 'A'..='Z' | '0'..='9' => 1,
            _ if "-._~!$&'()+,;=:@".contains(c) => 1,
            '?' | '#' => return Err(format!("a route is a path, and `{c}` ends a path")),
            _ => return Err(format!("a path cannot contain {c:?}; percent-encode it")),
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_matches_as_in_spin() {
        for (route, path, rest) in [
            ("/purchase", "/purchase", Some("")),
            ("/purchase", "/purchases", None),
            ("/purchase", "/purchase/x", None),
            ("/purchase", "/purchase/", Some("")),
            ("/purchase", "//purchase//", Some("")),
            ("/purchase/", "/purchase", Some("")),
            ("/a/b", "/a//b", None),
            ("/", "/", Some("")),
            ("/", "//", Some("")),
            ("/", "/x", None),
            ("/api/...", "/api", Some("")),
            ("/api/...", "/api/", Some("/")),
            ("/api/...", "//api/x/", Some("/x/")),
            ("/api/...", "/apix", None),
            ("/...", "/any/thing", Some("/any/thing")),
            ("/...", "//any", Some("/any")),
            ("/...", "/", Some("/")),
            ("/...", "*", None),
            ("/...", "", None),
            ("//purchase", "/purchase", Some("")),
            ("/api/*", "/api/x/y", Some("/x/y")),
            ("/api/*/", "/api/x", Some("/x")),
            ("/*", "/", Some("/")),
            ("/a%20b", "/a%20b", Some("")),
            ("/a:b", "/a:b", Some("")),
        ] {
            assert_eq!(Route::parse(route).unwrap().rest(path), rest, "{route} {path}");
        }
    }

    #[test]
    fn a_route_is_written_in_one_way() {
        for (route, written) in
            [("/", "/"), ("/x/", "/x"), ("//x", "/x"), ("/x/*", "/x/..."), ("/...", "/...")]
        {
            assert_eq!(Route::parse(route).unwrap().written(), written);
        }
    }

    #[test]
    fn routes_that_mean_the_same_are_equal() {
        for (one, other) in [("/x", "/x/"), ("/", "//"), ("/x/*", "/x/..."), ("//x", "/x")] {
            assert_eq!(Route::parse(one), Route::parse(other), "{one} {other}");
        }
        assert_ne!(Route::parse("/x"), Route::parse("/x/..."));
    }

    #[test]
    fn a_route_that_can_never_match_is_refused() {
        for (route, expected) in [
            ("purchase", "begin with"),
            ("", "begin with"),
            ("/a/:b", "named segments"),
            ("/a/b.:c", "named segments"),
            ("/a/*/b", "wildcard"),
            ("/a/.../b", "wildcard"),
            ("/a*", "wildcard"),
            ("/purchase?x=1", "`?`"),
            ("/purchase#x", "`#`"),
            ("/a b", "' '"),
            ("/é", "percent-encode"),
            ("/a%2", "percent-encode"),
            ("/a%zz", "percent-encode"),
            ("/a[/b]", "percent-encode"),
            ("/a/../b", "`..`"),
        ] {
            let fault = Route::parse(route).unwrap_err();
            assert!(fault.contains(expected) && fault.contains(route), "{fault}");
        }
    }

    #[test]
    fn routes_of_paths_that_the_host_serves_are_reserved() {
        for (route, expected) in [
            ("/.well-known/spin/health", true),
            ("/.well-known/spin/...", true),
            ("/.well-known/...", false),
            ("/.well-known/spin/x/...", true),
            ("/.well-known/spinner", false),
            ("/...", false),
        ] {
            assert_eq!(Route::parse(route).unwrap().is_reserved(), expected, "{route}");
        }
    }
}
