//! Why a producer cannot be made, and why there is no connection.

/// A wrong setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bootstrap list.
    #[error("{0}")]
    Brokers(String),
    /// The codec's name.
    #[error("`{0}` is no codec: use lz4, snappy or none")]
    Compression(String),
    /// The mechanism's name.
    #[error("`{0}` is no mechanism: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")]
    Mechanism(String),
}

impl Error {
    /// Never: the same settings are wrong again.
    pub fn is_retriable(&self) -> bool {
        false
    }
}

/// Why there is no connection to a broker, or no longer. Texts name the broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// It does not answer; it may, later.
    #[error("{0}")]
    Unreachable(String),
    /// Someone said no: the broker to the credentials, or the host to the address or to the
    /// look-up of its name.
    #[error("{0}")]
    Refused(String),
}
