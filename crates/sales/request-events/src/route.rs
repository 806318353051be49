//! Patterns of paths. Their number limits the number of routes that are distinguished, whatever paths
//! clients request.

use std::rc::Rc;

/// The route of a request whose path has no pattern.
const OTHER: &str = "other";

/// The end of a pattern that stands for all paths below it, as in Spin's routes.
const WILDCARD: &str = "/...";

/// Maximum number of patterns.
const PATTERNS_MAX: usize = 100;

/// Maximum length of a pattern.
const PATTERN_BYTES_MAX: usize = 200;

/// The routes, in the order in which they are compared with a path.
#[derive(Debug)]
pub struct Routes {
    patterns: Vec<Pattern>,
    other: Rc<str>,
}

/// A pattern such as `/students/:id` or `/files/...`.
#[derive(Debug)]
struct Pattern {
    text: Rc<str>,
    segments: Vec<Segment>,
    /// Whether it stands for everything below it, too.
    is_wildcard: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Exact(String),
    /// `:name` stands for any segment that is not empty.
    Any,
}

impl Routes {
    /// Parses patterns that are separated by commas or white space. Fails with what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut patterns: Vec<Pattern> = Vec::new();
        for item in component_settings::list(text) {
            let pattern = Pattern::parse(item).map_err(|reason| format!("`{item}`: {reason}"))?;
            let is_same = |other: &Pattern| {
                (&other.segments, other.is_wildcard) == (&pattern.segments, pattern.is_wildcard)
            };
            if let Some(earlier) = patterns.iter().find(|other| is_same(other)) {
                return Err(format!("`{item}` has the same paths as `{}`", earlier.text));
            }
            patterns.push(pattern);
            if patterns.len() > PATTERNS_MAX {
                return Err(format!("must have at most {PATTERNS_MAX} patterns"));
            }
        }
        Ok(Self { patterns, other: OTHER.into() })
    }

    /// The first pattern with this path, as it is written; otherwise `other`. The query of the path does
    /// not matter.
    pub fn of(&self, path_with_query: &str) -> Rc<str> {
        let path = path_with_query.split('?').next().unwrap_or_default();
        let found = self.patterns.iter().find(|pattern| pattern.has(path));
        found.map_or_else(|| self.other.clone(), |pattern| pattern.text.clone())
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("must have at most {PATTERN_BYTES_MAX} bytes"));
        }
        let (path, is_wildcard) = match text.strip_suffix(WILDCARD) {
            Some(path) => (path, true),
            None => (text, false),
        };
        if !text.starts_with('/') {
            return Err("must begin with `/`".into());
        }
        let segments = segments(path).map(Segment::parse).collect::<Result<_, _>>()?;
        Ok(Self { text: text.into(), segments, is_wildcard })
    }

    fn has(&self, path: &str) -> bool {
        let mut given = segments(path);
        let begins = self.segments.iter().all(|own| given.next().is_some_and(|one| own.has(one)));
        begins && (self.is_wildcard || given.next().is_none())
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix(':') {
            let is_valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            if name.is_empty() || !name.chars().all(is_valid) {
                return Err("a name after `:` has letters, digits, `_` and `-`".into());
            }
            return Ok(Self::Any);
        }
        let is_other_syntax = |c| matches!(c, '*' | '{' | '}' | '?' | '#');
        if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err("must have visible ASCII characters, and no empty segments".into());
        }
        if text.contains(is_other_syntax) || text.contains("...") {
            return Err("the only patterns are `:name`, and `/...` at the end".into());
        }
        Ok(Self::Exact(text.into()))
    }

    fn has(&self, segment: &str) -> bool {
        match self {
            Self::Exact(own) => own == segment,
            Self::Any => !segment.is_empty(),
        }
    }
}

/// The segments of a path. A slash at the end does not matter.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let is_root = path.is_empty();
    path.strip_suffix('/').unwrap_or(path).split('/').filter(move |_| !is_root)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_pattern_with_the_path_is_the_route() {
        let text =
            "/, /students,/students/new /students/:id /students/:id/notes\n/files/... /a/b/...";
        let routes = Routes::parse(text).unwrap();
        for (path, route) in [
            ("/", "/"),
            ("", "/"),
            ("/?a=/students", "/"),
            ("/students", "/students"),
            ("/students/", "/students"),
            ("/students?limit=2&offset=3", "/students"),
            ("/students/new", "/students/new"),
            ("/students/7", "/students/:id"),
            ("/students/%2e%2e", "/students/:id"),
            ("/students/7/notes", "/students/:id/notes"),
            ("/students/7/grades", "other"),
            ("/students//", "other"),
            ("/Students", "other"),
            ("/student", "other"),
            ("//", "other"),
            ("/files", "/files/..."),
            ("/files/", "/files/..."),
            ("/files/a/b", "/files/..."),
            ("/filesystem", "other"),
            ("/a/b", "/a/b/..."),
            ("/a", "other"),
            ("*", "other"),
        ] {
            assert_eq!(&*routes.of(path), route, "{path}");
        }
        assert_eq!(&*Routes::parse("/...").unwrap().of("/a//b"), "/...");
        assert_eq!(&*Routes::parse("").unwrap().of("/a"), "other");
    }

    #[test]
    fn patterns_that_are_not_valid_are_named() {
        for text in [
            "students",
            "/a//b",
            "/:",
            "/:a.b",
            "/*",
            "/a/*",
            "/{id}",
            "/a?b",
            "/a#b",
            "/.../a",
            "/a...",
            "/é",
            "/a/:x /a/:y",
            "/a /a/",
            "/a/... /a/...",
        ] {
            let error = Routes::parse(text).expect_err(text);
            assert!(error.contains('`'), "{error}");
        }
        let many = |count: usize| (0..count).map(|n| format!("/{n} ")).collect::<String>();
        assert!(Routes::parse(&many(100)).is_ok() && Routes::parse(&many(101)).is_err());
        let long = |bytes: usize| format!("/{}", "a".repeat(bytes - 1));
        assert!(Routes::parse(&long(200)).is_ok() && Routes::parse(&long(201)).is_err());
    }

    proptest! {
        /// Whatever clients request, a route is one of the patterns or `other`.
        #[test]
        fn a_route_is_never_a_path_of_a_client(path in ".{0,40}") {
            let routes = Routes::parse("/a/:b, /c/...").unwrap();
            let route = routes.of(&path);
            prop_assert!(["/a/:b", "/c/...", OTHER].contains(&&*route), "{route}");
        }
    }
}
