//! The composition of components described in the WAC language.

use composition::{Error, compose};

/// Maximum size of a composition of the components below, per byte of the text.
const COMPOSED_BYTES_PER_BYTE: usize = 200;

/// A component without imports and exports.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

/// A component that imports a function `f` and exports it as `g`.
const PIPE: &[u8] = b"\0asm\x0d\0\x01\0\
    \x07\x05\x01\x40\x00\x01\x00\
    \x0a\x06\x01\x00\x01f\x01\x00\
    \x0b\x07\x01\x00\x01g\x01\x00\x00";

/// Checks an input.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let read = |name: &str| match name {
        "a:empty" => Ok(EMPTY.to_vec()),
        "a:pipe" => Ok(PIPE.to_vec()),
        "a:text" => Ok(b"text".to_vec()),
        other => Err(Error::Package { name: other.into(), reason: "it is not there".into() }),
    };
    if let Ok(composed) = compose(text, read) {
        assert!(composed.starts_with(EMPTY));
        assert!(composed.len() <= 1_000 + COMPOSED_BYTES_PER_BYTE * text.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_components_are_components() {
        let text = "package x:y;\nlet a = new a:pipe { ... };\nlet b = new a:pipe { f: a.g };\nexport b.g;\nlet c = new a:empty {};";
        let composed =
            compose(text, |name| Ok(if name == "a:pipe" { PIPE } else { EMPTY }.to_vec()));
        assert!(composed.is_ok(), "{composed:?}");
    }
}
