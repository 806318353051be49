//! The header `Prefer` (RFC 7240).

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header of an answer that names the preferences that were applied.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The preference for an answer before the request is handled.
pub const RESPOND_ASYNC: &str = "respond-async";

/// The preference for the time after which the answer is sent; it belongs to `respond-async`.
const WAIT: &str = "wait";

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The preferences of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preferences {
    /// Whether it prefers an answer before it is handled.
    pub respond_async: bool,
    /// The others, for the component that handles the request.
    pub others: Option<HeaderValue>,
}

impl Preferences {
    /// The preferences in these headers. A field that is not text is left out.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut respond_async = false;
        let mut others = Vec::new();
        let fields = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        for preference in fields.flat_map(elements) {
            let name = preference.split(['=', ';']).next().unwrap_or_default().trim();
            if name.eq_ignore_ascii_case(RESPOND_ASYNC) {
                respond_async = true;
            } else if !name.is_empty() && !name.eq_ignore_ascii_case(WAIT) {
                others.push(preference.trim());
            }
        }
        let others = (!others.is_empty()).then(|| HeaderValue::try_from(others.join(", ")).ok());
        Self { respond_async, others: others.flatten() }
    }

    /// Replaces the preferences in these headers by the others.
    pub fn insert_others(self, headers: &mut HeaderMap) {
        headers.remove(PREFER);
        if let Some(others) = self.others {
            headers.insert(PREFER, others);
        }
    }
}

/// The elements of a list, which are separated by commas outside of quoted strings.
fn elements(list: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    list.split(move |character| {
        let is_separator = character == ',' && !is_quoted;
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = is_quoted,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
        is_separator
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_found_in_all_forms() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(PREFER, value.parse().unwrap());
            }
            let found = Preferences::of(&headers);
            let others = found.others.clone();
            found.clone().insert_others(&mut headers);
            assert_eq!(headers.get(PREFER).cloned(), others);
            (found.respond_async, others.map(|value| value.to_str().unwrap().to_owned()))
        };
        assert_eq!(of(&[]), (false, None));
        assert_eq!(of(&["respond-async"]), (true, None));
        assert_eq!(of(&["wait=100, Respond-Async; x=y"]), (true, None));
        let minimal = Some("return=minimal".to_owned());
        assert_eq!(of(&["return=minimal", "respond-async"]), (true, minimal.clone()));
        assert_eq!(of(&["return=minimal,,respond-async=\"\""]), (true, minimal));
        let quoted = r#"a="x, respond-async", b="\", respond-async""#;
        assert_eq!(of(&[quoted]), (false, Some(quoted.into())));
        assert!(!of(&["respond-asynchronously"]).0);
    }
}
