//! Errors of the configuration.

/// Why the configuration is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct ConfigError {
    /// The route and the field, such as ``routes[1] (`/orders`).key.header``.
    pub place: String,
    /// The reason. It contains no secret.
    pub reason: String,
}

impl ConfigError {
    pub(crate) fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { place: place.into(), reason: reason.into() }
    }

    /// The same error, with `outer` before its place.
    pub(crate) fn within(mut self, outer: &str) -> Self {
        self.place = format!("{outer}.{}", self.place);
        self
    }
}
