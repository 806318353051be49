//! Pointers to the fields of JSON values.

use std::str::FromStr;

use crate::ParseError;

/// An RFC 6901 pointer: `/a/0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// The names and indexes, without escapes.
    #[cfg(feature = "filters")]
    pub(crate) fn steps(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for Pointer {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut steps = text.split('/');
        if steps.next() != Some("") {
            return Err(ParseError(format!("`{text}` must begin with `/`")));
        }
        let step = |step: &str| {
            let rest = step.replace("~0", "").replace("~1", "");
            if rest.contains('~') {
                let reason = format!("`{text}`: write `~0` for `~`, and `~1` for `/` in a name");
                return Err(ParseError(reason));
            }
            Ok(step.replace("~1", "/").replace("~0", "~"))
        };
        steps.map(step).collect::<Result<_, _>>().map(Self)
    }
}
