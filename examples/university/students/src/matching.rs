//! Conditions of a change.

use figures::Etag;
use http::{HeaderMap, header};

/// The condition of an `If-Match` field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfMatch(String);

impl IfMatch {
    /// The condition of a request; `None` if it has none.
    pub fn find(headers: &HeaderMap) -> Option<Self> {
        let fields = headers.get_all(header::IF_MATCH).iter();
        let fields: Vec<_> = fields.map(|field| field.to_str().unwrap_or_default()).collect();
        (!fields.is_empty()).then(|| Self(fields.join(",")))
    }

    /// Whether a student with this representation may be changed. The comparison is strong, as RFC
    /// 9110 requires for this field: weak tags match nothing.
    pub fn permits(&self, json: &[u8]) -> bool {
        let strong = self.0.split(',').filter(|tag| !tag.trim_start().starts_with("W/"));
        Etag::new(json).matches(&strong.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_representation_that_the_client_has_may_be_changed() {
        let condition = |value: &str| {
            let headers = HeaderMap::from_iter([(header::IF_MATCH, value.parse().unwrap())]);
            IfMatch::find(&headers).unwrap()
        };
        let tag = Etag::new(b"{}").as_str().to_owned();
        for permitted in ["*", &tag, &format!("\"x\", {tag}")] {
            assert!(condition(permitted).permits(b"{}"), "{permitted}");
        }
        for refused in ["\"x\"", "", &format!("W/{tag}"), &format!("\"x\", W/{tag}")] {
            assert!(!condition(refused).permits(b"{}"), "{refused}");
        }
        assert_eq!(IfMatch::find(&HeaderMap::new()), None);
    }
}
