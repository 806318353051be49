//! Routes of `[[trigger.http]]`: exact paths, named segments and trailing wildcards, with the
//! precedence that they have in Spin.

use http::HeaderName;

/// The path prefix that the host serves, as in Spin.
const RESERVED: &str = "/.well-known/spin";

/// The prefix of the request fields for named segments.
pub(crate) const PATH_MATCH: &str = "spin-path-match-";

/// The paths that a route matches. Slashes at both ends are ignored.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// The route as it is written in the manifest.
    text: String,
    segments: Vec<Segment>,
    /// Whether the route matches everything below it, too; written with a trailing `/...` or `/*`.
    is_wildcard: bool,
}

#[derive(Debug, Clone)]
enum Segment {
    Exact(String),
    /// `:name` matches any segment. The field passes its text to the component.
    Named(HeaderName),
}

/// A route that matches a path.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct RouteMatch<'a> {
    /// The part of the path that a wildcard matches, as Spin passes it on; otherwise empty.
    pub rest: String,
    /// The texts of the named segments, with the names of the request fields.
    pub named: Vec<(&'a HeaderName, &'a str)>,
}

impl Route {
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = text.trim_matches('/');
        let prefix = match path.strip_suffix("...").or_else(|| path.strip_suffix('*')) {
            Some("") => Some(""),
            Some(prefix) => prefix.strip_suffix('/'),
            None => None,
        };
        let parsed = prefix.unwrap_or(path).split('/').filter(|segment| !segment.is_empty());
        let parsed = parsed.map(Segment::parse).collect::<Result<Vec<_>, _>>();
        let segments = parsed.map_err(|message| format!("route `{text}`: {message}"))?;
        let route = Self { text: text.into(), segments, is_wildcard: prefix.is_some() };
        match route.repeated_name() {
            Some(name) => Err(format!("route `{text}`: two named segments are passed as `{name}`")),
            None => Ok(route),
        }
    }

    fn repeated_name(&self) -> Option<&HeaderName> {
        let names = || self.segments.iter().filter_map(Segment::name);
        names().enumerate().find(|(at, name)| names().take(*at).any(|n| n == *name)).map(|(_, n)| n)
    }

    /// How the route matches this path, if it does.
    pub fn matches<'a>(&'a self, path: &'a str) -> Option<RouteMatch<'a>> {
        if !path.starts_with('/') {
            return None;
        }
        let mut rest = Some(path.trim_matches('/')).filter(|rest| !rest.is_empty());
        let mut named = Vec::new();
        for segment in &self.segments {
            let text = rest?;
            let (first, after) = match text.split_once('/') {
                Some((first, after)) => (first, Some(after)),
                None => (text, None),
            };
            match segment {
                Segment::Exact(exact) if exact == first => {}
                Segment::Exact(_) => return None,
                Segment::Named(name) => named.push((name, first)),
            }
            rest = after;
        }
        let rest = match (self.is_wildcard, rest) {
            (false, None) => String::new(),
            (false, Some(_)) => return None,
            // Spin passes on one of the slashes at the end.
            (true, rest) => {
                let slash = if path.ends_with('/') { "/" } else { "" };
                rest.map_or(slash.into(), |rest| format!("/{rest}{slash}"))
            }
        };
        Some(RouteMatch { rest, named })
    }

    /// The route as it is written in the manifest.
    pub fn written(&self) -> &str {
        &self.text
    }

    /// The route as Spin passes it on: with a slash at the beginning, and with one less at the end.
    pub fn absolute(&self) -> String {
        let text = self.text.strip_suffix('/').unwrap_or(&self.text);
        if text.is_empty() || text.starts_with('/') { text.into() } else { format!("/{text}") }
    }

    /// The order in which routes are tried. The first segment in which two routes differ decides: an
    /// exact one is before a named one, and this is before a wildcard.
    pub fn rank(&self) -> Vec<u8> {
        let wildcard = self.is_wildcard.then_some(2);
        self.segments.iter().map(Segment::rank).chain(wildcard).collect()
    }

    /// A text that is the same for routes that match the same paths.
    pub fn pattern(&self) -> String {
        let mut pattern = String::new();
        for segment in &self.segments {
            pattern.push('/');
            pattern.push_str(match segment {
                Segment::Exact(exact) => exact,
                Segment::Named(_) => ":",
            });
        }
        pattern + if self.is_wildcard { "/*" } else { "" }
    }

    /// Whether the route matches only paths that the host serves.
    pub fn is_reserved(&self) -> bool {
        let mut reserved = RESERVED.split('/').skip(1);
        let mut segments = self.segments.iter();
        let below = reserved
            .all(|name| matches!(segments.next(), Some(Segment::Exact(exact)) if exact == name));
        below && (self.is_wildcard || segments.next().is_some())
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix(':') {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            let field = format!("{PATH_MATCH}{}", name.to_ascii_lowercase().replace('_', "-"));
            return match HeaderName::try_from(field) {
                Ok(field) if !name.is_empty() && name.chars().all(is_name) => {
                    Ok(Segment::Named(field))
                }
                _ => Err(format!(
                    "`{text}`: the name of a segment may have ASCII letters, digits, `_` and `-`, \
                     and nothing may follow it in the segment"
                )),
            };
        }
        check_exact(text)?;
        Ok(Segment::Exact(text.into()))
    }

    fn name(&self) -> Option<&HeaderName> {
        match self {
            Segment::Exact(_) => None,
            Segment::Named(name) => Some(name),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Segment::Exact(_) => 0,
            Segment::Named(_) => 1,
        }
    }
}

/// Whether the host serves this path.
pub(crate) fn is_reserved(path: &str) -> bool {
    path.strip_prefix(RESERVED).is_some_and(|rest| rest.starts_with('/'))
}

/// Rejects a segment that is a pattern which this host does not support, or that cannot occur in a
/// request.
fn check_exact(segment: &str) -> Result<(), String> {
    if segment == "..." || segment.contains('*') {
        return Err(
            "a wildcard is supported at the end only, as `/...` or `/*`, without a name".into()
        );
    }
    if segment.split('.').any(|part| part.starts_with(':')) {
        return Err(format!("`{segment}`: only a whole segment can have a name"));
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

    fn rest(route: &str, path: &str) -> Option<String> {
        Route::parse(route).unwrap().matches(path).map(|matched| matched.rest)
    }

    #[test]
    fn a_route_matches_as_in_spin() {
        for (route, path, expected) in [
            ("/purchase", "/purchase", Some("")),
            ("/purchase", "/purchases", None),
            ("/purchase", "/purchase/x", None),
            ("/purchase", "/purchase/", Some("")),
            ("/purchase", "//purchase//", Some("")),
            ("/purchase/", "/purchase", Some("")),
            ("purchase", "/purchase", Some("")),
            ("//purchase", "/purchase", Some("")),
            ("/a/b", "/a//b", None),
            ("/a//b", "/a/b", Some("")),
            ("/", "/", Some("")),
            ("", "/", Some("")),
            ("/", "//", Some("")),
            ("/", "/x", None),
            ("/api/...", "/api", Some("")),
            ("/api/...", "/api/", Some("/")),
            ("/api/...", "//api/x/", Some("/x/")),
            ("/api/...", "/api/x//", Some("/x/")),
            ("/api/...", "/api//x", Some("//x")),
            ("/api/...", "/apix", None),
            ("/...", "/any/thing", Some("/any/thing")),
            ("/...", "//any", Some("/any")),
            ("/...", "/", Some("/")),
            ("/...", "*", None),
            ("/...", "", None),
            ("/api/*", "/api/x/y", Some("/x/y")),
            ("/api/*/", "/api/x", Some("/x")),
            ("/*", "/", Some("/")),
            ("/a%20b", "/a%20b", Some("")),
            ("/a:b", "/a:b", Some("")),
            ("/:a", "/", None),
            ("/x/:a/y", "/x//y", Some("")),
            ("/x/:a", "/x/", None),
            ("/:a/...", "/x", Some("")),
            ("/:a/...", "/x/y/z", Some("/y/z")),
        ] {
            assert_eq!(rest(route, path).as_deref(), expected, "{route} {path}");
        }
    }

    #[test]
    fn a_route_is_passed_on_as_in_spin() {
        for (text, absolute) in
            [("/", ""), ("", ""), ("/x/", "/x"), ("x", "/x"), ("//x", "//x"), ("/x/...", "/x/...")]
        {
            assert_eq!(Route::parse(text).unwrap().absolute(), absolute);
        }
    }

    #[test]
    fn named_segments_become_request_fields() {
        let route = Route::parse("/users/:User_ID/posts/:post/...").unwrap();
        let matched = route.matches("/users/a%20b/posts/7/comments/").unwrap();
        let named: Vec<_> = matched.named.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        assert_eq!(named, [("spin-path-match-user-id", "a%20b"), ("spin-path-match-post", "7")]);
        assert_eq!(matched.rest, "/comments/");
    }

    #[test]
    fn routes_that_match_the_same_paths_are_the_same() {
        let pattern = |text| Route::parse(text).unwrap().pattern();
        let same = |one, other| pattern(one) == pattern(other);
        for (one, other) in
            [("/x", "/x/"), ("/", "//"), ("/x/*", "/x/..."), ("//x", "x"), ("/:a/x", "/:b/x")]
        {
            assert!(same(one, other), "{one} {other}");
        }
        for (one, other) in [("/x", "/x/..."), ("/x", "/y"), ("/x", "/:x"), ("/x", "/x/y")] {
            assert!(!same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_route_that_can_never_match_is_refused() {
        for (route, expected) in [
            ("/a/:b.json", "nothing may follow"),
            ("/a/:", "the name of a segment"),
            ("/a/b.:c", "whole segment"),
            ("/:a-b/:A_B", "`spin-path-match-a-b`"),
            ("/a/*/b", "wildcard"),
            ("/a/.../b", "wildcard"),
            ("/a*", "wildcard"),
            ("/a...", ""),
            ("/*rest", "without a name"),
            ("/purchase?x=1", "`?`"),
            ("/purchase#x", "`#`"),
            ("/a b", "' '"),
            ("/é", "percent-encode"),
            ("/a%2", "percent-encode"),
            ("/a%zz", "percent-encode"),
            ("/a[/b]", "percent-encode"),
            ("/a/../b", "`..`"),
        ] {
            match (Route::parse(route), expected) {
                // Three dots after other text are text.
                (Ok(route), "") => assert!(route.matches("/a...").is_some()),
                (Ok(_), _) => panic!("{route}"),
                (Err(fault), _) => {
                    assert!(fault.contains(expected) && fault.contains(route), "{fault}");
                }
            }
        }
    }

    #[test]
    fn routes_of_paths_that_the_host_serves_are_reserved() {
        for (route, expected) in [
            ("/.well-known/spin/health", true),
            ("/.well-known/spin/...", true),
            ("/.well-known/...", false),
            ("/.well-known/spin", false),
            ("/.well-known/spin/x/...", true),
            ("/.well-known/spinner", false),
            ("/:a/spin/x", false),
            ("/...", false),
        ] {
            assert_eq!(Route::parse(route).unwrap().is_reserved(), expected, "{route}");
        }
    }

    /// For each path the routes that match it, in the order of their precedence, with their named
    /// segments; written with the library that Spin uses for its routes, `routefinder` 0.5.4.
    const PRECEDENCE: &str = include_str!("route/precedence_of_spin.txt");

    #[test]
    fn routes_have_the_precedence_of_spin() {
        let lines = PRECEDENCE.lines().filter_map(|line| line.strip_prefix("  "));
        let routes = lines.filter_map(|line| line.split(' ').next());
        let routes: std::collections::BTreeSet<_> = routes.collect();
        let mut routes: Vec<_> = routes.iter().map(|r| Route::parse(r).unwrap()).collect();
        assert!(routes.len() > 40, "{}", routes.len());
        routes.sort_by_key(Route::rank);
        let mut found = String::new();
        for path in PRECEDENCE.lines().filter(|line| line.starts_with('/')) {
            found += &format!("{path}\n");
            for (route, matched) in routes.iter().filter_map(|r| Some((r, r.matches(path)?))) {
                let mut line = format!("  {}", route.written());
                if !matched.rest.is_empty() {
                    line += &format!(" rest={}", matched.rest);
                }
                for (name, value) in matched.named {
                    line += &format!(" {}={value}", name.as_str().trim_start_matches(PATH_MATCH));
                }
                found += &(line + "\n");
            }
        }
        assert_eq!(found, PRECEDENCE);
    }
}
