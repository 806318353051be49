//! The errors of connections.

/// Why there is no connection, or it ended. The texts say what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The host does not allow connections to this name or address.
    #[error("{0}")]
    Denied(String),
    /// The name has no address, or the address does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// The peer closed the connection.
    #[error("the server closed the connection")]
    Closed,
}

impl Error {
    /// Whether a later attempt may succeed without any change of the configuration.
    pub fn is_retriable(&self) -> bool {
        !matches!(self, Self::Denied(_))
    }
}
