//! The error of this crate: a field of a sale that is not valid.

/// A field that is not valid, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Violation {
    /// The field's wire name, or `body` if the whole body is not a JSON object.
    pub field: String,
    /// What the value must be, for example `must be 1 to 128 bytes long`.
    pub reason: String,
}

impl Violation {
    /// A violation of the field with this wire name.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }

    /// Always false: the same sale is rejected again.
    pub fn is_retriable(&self) -> bool {
        false
    }
}
