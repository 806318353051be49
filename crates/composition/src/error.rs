//! Why components cannot be composed.

use std::fmt::Display;

/// A fault of a composition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not WAC, or its components do not fit together.
    #[error("{0}")]
    Text(String),
    /// A package cannot be read.
    #[error("`{name}`: {reason}")]
    Package {
        /// The package.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The text names its own package as one of its components.
    #[error("`{0}` is the composition itself")]
    Itself(String),
}

impl Error {
    pub(crate) fn text(error: impl Display) -> Self {
        Self::Text(error.to_string())
    }

    /// Never: the same text is wrong again.
    pub fn is_retriable(&self) -> bool {
        false
    }
}
