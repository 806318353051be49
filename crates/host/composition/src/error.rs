//! The errors of a composition.

use std::fmt::Display;

/// The components cannot be composed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not valid WAC, or its components do not fit together.
    #[error("{0}")]
    Text(String),
    /// A package cannot be read.
    #[error("`{name}`: {reason}")]
    Package {
        /// The name of the package.
        name: String,
        /// The cause.
        reason: String,
    },
    /// The text uses its own package as one of its components.
    #[error("`{0}` is the composition itself")]
    Itself(String),
}

impl Error {
    pub(crate) fn text(error: impl Display) -> Self {
        Self::Text(error.to_string())
    }

    /// Always false: the same text is rejected again.
    pub fn is_retriable(&self) -> bool {
        false
    }
}
