//! Entity tags, which show whether a client already has a content.

use twox_hash::XxHash3_128;

/// The strong entity tag of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etag(String);

impl Etag {
    /// The tag of these bytes.
    pub fn new(content: &[u8]) -> Self {
        Self(format!("\"{:032x}\"", XxHash3_128::oneshot(content)))
    }

    /// The value of the `ETag` field.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the value of an `If-None-Match` field contains this tag. The comparison is weak, as
    /// RFC 9110 requires for this field.
    pub fn matches(&self, if_none_match: &str) -> bool {
        let mut tags = if_none_match.split(',').map(str::trim);
        tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_its_content_alone() {
        let (one, other) = (Etag::new(b"one"), Etag::new(b"other"));
        assert_ne!(one, other);
        assert_eq!(one, Etag::new(b"one"));
        for field in [one.as_str(), "*", &format!("{}, {}", other.as_str(), one.as_str())] {
            assert!(one.matches(field), "{field}");
        }
        assert!(one.matches(&format!("W/{}", one.as_str())));
        for field in [other.as_str(), "", one.as_str().trim_matches('"')] {
            assert!(!one.matches(field), "{field}");
        }
    }
}
