//! The errors of this crate.

/// An invalid setting of the schema registry.
#[derive(Debug, thiserror::Error)]
#[error("schema.{setting}: {reason}")]
pub struct Error {
    setting: &'static str,
    reason: String,
}

impl Error {
    pub(crate) fn setting(setting: &'static str, reason: impl Into<String>) -> Self {
        Self { setting, reason: reason.into() }
    }
}

/// Why there is no schema for an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoSchema {
    /// The registry cannot be asked at this time. A retry may succeed.
    Unavailable(String),
    /// The registry has no such schema, or it cannot be used. A retry fails in the same way.
    Unusable(String),
    /// The settings name a schema that cannot be used.
    Settings(String),
}
