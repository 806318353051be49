//! The names of the keys.

/// The names of the keys of a state.
///
/// By default they begin with `{NAME:VERSION}:`. The braces are a hash tag, so the state is in one
/// slot of a cluster, and a script can change it. Another version is another state, without a
/// position: it is built from the beginning of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// The start of the names of the function's keys.
    prefix: String,
    /// The start of the names of the keys that only the script uses.
    internal: String,
    fixed: Option<&'static FixedNames>,
}

/// A state whose keys have the names that other programs expect, without a hash tag. Another program
/// may have written them, which is why the state describes how to recognise that.
#[derive(Debug, PartialEq, Eq)]
pub struct FixedNames {
    /// A key that exists if anything was counted, by whatever program. It has a plain value.
    pub counted: &'static str,
    /// Keys with a plain value that no other program writes. One of them exists if this function
    /// counted anything.
    pub own: &'static [&'static str],
}

/// The name of a state is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a state, and the prefix of its keys, has 1 to {NAME_BYTES_MAX} letters, digits, \
     `-`, `_` or `.`, not `{0}`"
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
        let tag = format!("{{{name}:{version}}}");
        Ok(Self { prefix: format!("{tag}:"), internal: format!("{tag}/"), fixed: None })
    }

    /// The keys of a state with fixed names. If `prefix` is not empty, all of them begin with
    /// `PREFIX:`.
    pub fn fixed(prefix: &str, names: &'static FixedNames) -> Result<Self, NamespaceError> {
        let prefix = match prefix {
            "" => String::new(),
            name if is_valid_name(name) => format!("{name}:"),
            name => return Err(NamespaceError(name.into())),
        };
        Ok(Self { internal: prefix.clone(), prefix, fixed: Some(names) })
    }

    /// The name of a key of the function in Valkey.
    pub fn key(&self, name: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), name].concat()
    }

    /// The name of a key that only the script uses. It differs from all keys of the function, which
    /// with fixed names must not begin with those of [`Source`](crate::Source).
    pub(crate) fn internal_key(&self, name: &str) -> String {
        format!("{}{name}", self.internal)
    }

    pub(crate) fn fixed_names(&self) -> Option<&'static FixedNames> {
        self.fixed
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
    fn fixed_names_have_a_prefix_only_if_one_is_given() {
        static NAMES: FixedNames = FixedNames { counted: "total", own: &[] };
        let key = |prefix| Namespace::fixed(prefix, &NAMES).map(|names| names.key(b"total"));
        assert_eq!(key(""), Ok(b"total".to_vec()));
        assert_eq!(key("shop"), Ok(b"shop:total".to_vec()));
        assert!(key("a:b").is_err());
    }

    #[test]
    fn a_name_cannot_change_the_hash_tag() {
        for name in ["", "a}b", "a:1", "a b", &"a".repeat(101)] {
            assert!(Namespace::new(name, 1).is_err(), "{name}");
        }
    }
}
