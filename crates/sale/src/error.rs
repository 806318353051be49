//! What is wrong with a sale.

use std::borrow::Cow;

/// A field that is wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Violation {
    /// The field's wire name; `body` when the whole is no JSON object.
    pub field: Cow<'static, str>,
    /// What it must be.
    pub reason: String,
}

impl Violation {
    /// A violation of a field known by name.
    pub fn new(field: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }

    /// Never: the same sale is wrong again.
    pub fn is_retriable(&self) -> bool {
        false
    }
}
