//! The names of the keys.

/// The name of a state, and the version of its schema. All of its keys begin with
/// `{NAME:VERSION}:`.
///
/// The braces are a hash tag, so the state is in one slot of a cluster, and a script can change it.
/// Another version is another state, without a position: it is built from the beginning of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace(String);

/// The name of a state is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a state has 1 to {NAME_BYTES_MAX} letters, digits, `-`, `_` or `.`, not `{0}`"
)]
pub struct NamespaceError(String);

/// Maximum length of a name.
const NAME_BYTES_MAX: usize = 100;

/// Whether this can be the name of a state.
pub const fn is_valid_name(name: &str) -> bool {
    let mut rest = name.as_bytes();
    let has_valid_length = !rest.is_empty() && rest.len() <= NAME_BYTES_MAX;
    while let [byte, later @ ..] = rest {
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
            return false;
        }
        rest = later;
    }
    has_valid_length
}

impl Namespace {
    /// The keys of this version of a state.
    pub fn new(name: &str, version: u32) -> Result<Self, NamespaceError> {
        if !is_valid_name(name) {
            return Err(NamespaceError(name.into()));
        }
        Ok(Self(format!("{{{name}:{version}}}")))
    }

    /// The name of a key of the function in Valkey.
    pub fn key(&self, name: &[u8]) -> Vec<u8> {
        [self.0.as_bytes(), b":", name].concat()
    }

    /// The name of a key that only the script uses. It differs from all keys of the function.
    pub(crate) fn internal_key(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_hash_tag_of_their_state() {
        let namespace = Namespace::new("word-count", 2).unwrap();
        assert_eq!(namespace.key(b"words"), b"{word-count:2}:words");
        assert_eq!(namespace.internal_key("seen"), "{word-count:2}/seen");
    }

    #[test]
    fn a_name_cannot_change_the_hash_tag() {
        for name in ["", "a}b", "a:1", "a b", &"a".repeat(101)] {
            assert!(Namespace::new(name, 1).is_err(), "{name}");
        }
    }
}
