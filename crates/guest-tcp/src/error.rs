//! Why there is no connection.

/// Why there is no connection, or none any more. Texts say what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The host lets the component connect nowhere under this name or address.
    #[error("{0}")]
    Denied(String),
    /// The name has no address, or nobody answers there.
    #[error("{0}")]
    Unreachable(String),
    /// The peer closed the connection.
    #[error("the server closed the connection")]
    Closed,
}

impl Error {
    /// Whether it may be otherwise later, without anyone changing a setting.
    pub fn is_retriable(&self) -> bool {
        !matches!(self, Self::Denied(_))
    }
}
