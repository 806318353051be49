//! Composes WebAssembly components as described by a document in the WAC language.

mod error;

use std::collections::BTreeMap;

use semver::Version;
use wac_graph::EncodeOptions;
use wac_graph::types::BorrowedPackageKey;
use wac_parser::Document;
use wac_parser::resolution::Error as Unresolved;

pub use error::Error;

/// Maximum number of opening brackets in a document, because the parser is recursive.
const BRACKETS_MAX: usize = 200;

/// A package: its name and version.
type Key = (String, Option<Version>);

/// Returns the composed component. `read` returns the component of a package with the name
/// `ns:name`. It is called when the document's resolver needs a package, so only the resolver has
/// to know the places where a document can refer to one.
pub fn compose(
    text: &str,
    mut read: impl FnMut(&str) -> Result<Vec<u8>, Error>,
) -> Result<Vec<u8>, Error> {
    if text.matches(['(', '<', '{']).count() > BRACKETS_MAX {
        return Err(Error::Text(format!("more than {BRACKETS_MAX} opening brackets")));
    }
    let document = Document::parse(text).map_err(Error::text)?;
    let mut packages: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
    loop {
        let borrowed = packages.iter().map(|((name, version), bytes)| {
            (BorrowedPackageKey::from_name_and_version(name, version.as_ref()), bytes.clone())
        });
        match document.resolve(borrowed.collect()) {
            Ok(resolution) => {
                return resolution.encode(EncodeOptions::default()).map_err(Error::text);
            }
            Err(Unresolved::UnknownPackage { name, span }) => {
                let version = version_at(text, span.offset())?;
                let bytes = read(&name)?;
                if packages.insert((name.clone(), version), bytes).is_some() {
                    return Err(Error::Itself(name));
                }
            }
            Err(error) => return Err(Error::text(error)),
        }
    }
}

/// The version of the package whose name begins at this offset.
fn version_at(text: &str, offset: usize) -> Result<Option<Version>, Error> {
    let name = text.get(offset..).unwrap_or_default();
    let is_part = |c: char| c.is_ascii_alphanumeric() || ":/@.-+%".contains(c);
    let name = name.split(|c| !is_part(c)).next().unwrap_or_default();
    let version = name.split_once('@').map(|(_, version)| version.trim_end_matches('.'));
    version.map(|version| version.parse().map_err(Error::text)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component without imports and exports.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn read(name: &str) -> Result<Vec<u8>, Error> {
        match name {
            "a:b" | "a:c-d" => Ok(EMPTY.into()),
            other => Err(Error::Package { name: other.into(), reason: "not there".into() }),
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        for (begin, level) in [("let b = ", "("), ("interface i { type t = ", "list<")] {
            let text = |levels| format!("package x:y;\n{begin}{}", level.repeat(levels));
            let allowed = BRACKETS_MAX - begin.matches('{').count();
            let fault = |levels| compose(&text(levels), read).unwrap_err().to_string();
            assert!(fault(allowed).contains("expected"), "{}", fault(allowed));
            assert!(fault(allowed + 1).contains("more than 200 opening brackets"));
        }
    }

    #[test]
    fn packages_are_found_wherever_they_are_named() {
        for text in [
            "package x:y;\nlet b = new a:b { ... };",
            "package x:y;\nlet b = new a:b{ ... };",
            "package x:y;\nlet b =\n  new a:b\n{ ... };",
            "package x:y;\nlet b = new a:b@0.1.0 { ... };",
            "package x:y;\nlet b = (new a:b { ... });\nlet c = new a:c-d@1.2.3-rc.1+x { ... };",
            "package x:y; // = new a:nothing {}\nlet b = new a:b {};",
        ] {
            let composed = compose(text, read);
            assert!(
                composed.as_ref().is_ok_and(|bytes| bytes.starts_with(b"\0asm")),
                "{text}: {composed:?}"
            );
        }
        for (text, expected) in [
            ("package x:y;\nlet b = new a:none { ... };", "`a:none`: not there"),
            ("package x:y;\nlet b = new x:y { ... };", "`x:y`: not there"),
            ("package x:y;\nlet b = ;", "expected"),
        ] {
            let fault = compose(text, read).unwrap_err().to_string();
            assert!(fault.contains(expected), "{fault}");
        }
        let own = |_: &str| Ok(EMPTY.to_vec());
        let fault = compose("package x:y;\nlet b = new x:y { ... };", own).unwrap_err();
        assert!(matches!(fault, Error::Itself(_)), "{fault}");
    }
}
