//! The errors of the settings and of connections.

/// A setting is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The list of bootstrap brokers is not valid.
    #[error("{0}")]
    Brokers(String),
    /// The name of the codec is unknown.
    #[error("`{0}` is not a supported codec: use lz4, snappy or none")]
    Compression(String),
    /// The name of the mechanism is unknown.
    #[error("`{0}` is not a supported mechanism: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")]
    Mechanism(String),
}

impl Error {
    /// Always false: the same settings are rejected again.
    pub fn is_retriable(&self) -> bool {
        false
    }
}

/// Why a broker cannot be reached, or a connection to it broke. The texts contain the broker's
/// address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The broker does not answer. A later attempt may succeed.
    #[error("{0}")]
    Unreachable(String),
    /// The broker rejected the credentials, or the host rejected the address or the look-up of its
    /// name.
    #[error("{0}")]
    Refused(String),
}
