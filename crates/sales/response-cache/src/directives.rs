//! The header `Cache-Control` (RFC 9111, 5.2; RFC 5861).

use http::{HeaderMap, HeaderValue, header};

/// The most seconds of a directive; larger ones are the same (RFC 9111, 1.2.2).
const SECONDS_MAX: u64 = 1 << 31;

/// The directives of a request, in seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    pub no_store: bool,
    pub no_cache: bool,
    pub only_if_cached: bool,
    pub max_age: Option<u64>,
    pub max_stale: Option<u64>,
    pub min_fresh: Option<u64>,
    pub stale_if_error: Option<u64>,
}

/// The directives of a response, in seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    pub no_store: bool,
    pub private: bool,
    pub public: bool,
    pub no_cache: bool,
    /// `must-revalidate` or `proxy-revalidate`.
    pub must_revalidate: bool,
    pub max_age: Option<u64>,
    pub s_maxage: Option<u64>,
    pub stale_while_revalidate: Option<u64>,
    pub stale_if_error: Option<u64>,
}

impl RequestDirectives {
    /// Reads the headers of a request. Directives that are not valid are ignored.
    pub fn read(headers: &HeaderMap) -> Self {
        let mut all = Self::default();
        let (directives, _) = parse(headers);
        for (name, value) in &directives {
            let number = || value.as_deref().and_then(seconds);
            match name.as_str() {
                "no-store" => all.no_store = true,
                "no-cache" => all.no_cache = true,
                "only-if-cached" => all.only_if_cached = true,
                "max-age" => all.max_age = least(all.max_age, number()),
                // Without a value, a response of any age is accepted.
                "max-stale" if value.is_none() => all.max_stale = Some(SECONDS_MAX),
                "max-stale" => all.max_stale = least(all.max_stale, number()),
                "min-fresh" => all.min_fresh = all.min_fresh.max(number()),
                "stale-if-error" => all.stale_if_error = least(all.stale_if_error, number()),
                _ => {}
            }
        }
        // RFC 9111, 5.4.
        if !headers.contains_key(header::CACHE_CONTROL) {
            all.no_cache |= has_word(headers.get_all(header::PRAGMA), "no-cache");
        }
        all
    }
}

impl ResponseDirectives {
    /// Reads the headers of a response. Of two values, the shorter time applies; a value that is not
    /// valid is 0; and a header that is not valid forbids to store the response.
    pub fn read(headers: &HeaderMap) -> Self {
        let mut all = Self::default();
        let (directives, is_valid) = parse(headers);
        all.no_store = !is_valid;
        for (name, value) in &directives {
            let number = || Some(value.as_deref().and_then(seconds).unwrap_or(0));
            match name.as_str() {
                "no-store" => all.no_store = true,
                // With field names, they apply to the whole response here.
                "private" => all.private = true,
                "no-cache" => all.no_cache = true,
                "public" => all.public = true,
                "must-revalidate" | "proxy-revalidate" => all.must_revalidate = true,
                "max-age" => all.max_age = least(all.max_age, number()),
                "s-maxage" => all.s_maxage = least(all.s_maxage, number()),
                "stale-while-revalidate" => {
                    all.stale_while_revalidate = least(all.stale_while_revalidate, number());
                }
                "stale-if-error" => all.stale_if_error = least(all.stale_if_error, number()),
                _ => {}
            }
        }
        all
    }
}

/// The smaller number; the one that exists if there is only one.
fn least(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}

fn seconds(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(SECONDS_MAX).min(SECONDS_MAX))
}

/// Whether a list contains this word, in any case.
fn has_word<'a>(values: impl IntoIterator<Item = &'a HeaderValue>, word: &str) -> bool {
    let words = |value: &HeaderValue| {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        text.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    values.into_iter().any(words)
}

/// The names, in lower case, and values of all directives, and whether all of them can be read.
fn parse(headers: &HeaderMap) -> (Vec<(String, Option<String>)>, bool) {
    let mut directives = Vec::new();
    let mut is_valid = true;
    for line in headers.get_all(header::CACHE_CONTROL) {
        let Ok(mut rest) = std::str::from_utf8(line.as_bytes()) else {
            is_valid = false;
            continue;
        };
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                break;
            }
            let end = rest.find([',', '=']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let (value, after) = match after.strip_prefix('=') {
                None => (None, after),
                Some(after) => match value(after.trim_start()) {
                    Some((value, after)) => (Some(value), after),
                    None => {
                        is_valid = false;
                        (None, "")
                    }
                },
            };
            directives.push((name.trim().to_ascii_lowercase(), value));
            rest = after.trim_start();
            if !rest.is_empty() && !rest.starts_with(',') {
                is_valid = false;
                rest = rest.find(',').and_then(|comma| rest.get(comma..)).unwrap_or_default();
            }
        }
    }
    (directives, is_valid)
}

/// A token or quoted string, and the text after it; `None` if a quoted string does not end.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        let (token, after) = text.split_at(end);
        return Some((token.trim().to_owned(), after));
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(chars.next()?),
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::CACHE_CONTROL, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    #[test]
    fn directives_of_a_response() {
        let none = ResponseDirectives::default();
        let max_age = |seconds| ResponseDirectives { max_age: Some(seconds), ..none.clone() };
        for (lines, expected) in [
            (&[][..], none.clone()),
            (&["max-age=60"], max_age(60)),
            (&["Max-Age=\"60\""], max_age(60)),
            (&[" , max-age = 60 ,,"], max_age(60)),
            (&["max-age=60", "max-age=5"], max_age(5)),
            (&["max-age=60.5"], max_age(0)),
            (&["max-age=-1"], max_age(0)),
            (&["max-age"], max_age(0)),
            (&["max-age="], max_age(0)),
            (&["max-age=99999999999999999999999"], max_age(SECONDS_MAX)),
            // A directive in a quoted string is none.
            (&["x=\"no-store, private\\\", max-age=1\", max-age=60"], max_age(60)),
            (&["nostore, max-age=60"], max_age(60)),
            (&["max-age=60, NO-STORE"], ResponseDirectives { no_store: true, ..max_age(60) }),
            (&["max-age=60", "private"], ResponseDirectives { private: true, ..max_age(60) }),
            (&["private=\"a, b\""], ResponseDirectives { private: true, ..none.clone() }),
            (&["no-cache=a"], ResponseDirectives { no_cache: true, ..none.clone() }),
            // What cannot be read may be a restriction.
            (&["max-age=60, x=\"no-end"], ResponseDirectives { no_store: true, ..max_age(60) }),
            (&["x=\"a\"b, max-age=60"], ResponseDirectives { no_store: true, ..max_age(60) }),
            (
                &["public, s-maxage=1, proxy-revalidate", "stale-while-revalidate=2"],
                ResponseDirectives {
                    public: true,
                    s_maxage: Some(1),
                    must_revalidate: true,
                    stale_while_revalidate: Some(2),
                    ..none.clone()
                },
            ),
        ] {
            assert_eq!(ResponseDirectives::read(&headers(lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn directives_of_a_request() {
        let none = RequestDirectives::default();
        for (line, expected) in [
            ("max-age=0", RequestDirectives { max_age: Some(0), ..none.clone() }),
            ("max-age=x, min-fresh=3", RequestDirectives { min_fresh: Some(3), ..none.clone() }),
            ("max-stale", RequestDirectives { max_stale: Some(SECONDS_MAX), ..none.clone() }),
            ("max-stale=7", RequestDirectives { max_stale: Some(7), ..none.clone() }),
            ("only-if-cached", RequestDirectives { only_if_cached: true, ..none.clone() }),
        ] {
            assert_eq!(RequestDirectives::read(&headers(&[line])), expected, "{line}");
        }
        let mut pragma = HeaderMap::from_iter([(header::PRAGMA, "x, No-Cache".parse().unwrap())]);
        assert!(RequestDirectives::read(&pragma).no_cache);
        pragma.insert(header::CACHE_CONTROL, "max-age=1".parse().unwrap());
        assert!(!RequestDirectives::read(&pragma).no_cache);
    }
}
