//! What can be wrong with an address or an answer.

/// A fault of the codec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The URL is not `redis://[user:password@]host[:port][,host[:port]…][/db]`. It is not
    /// shown: it may hold a password.
    #[error("the URL must be redis://[user:password@]host[:port][,host[:port]…][/db]: {0}")]
    Address(String),
    /// The server's bytes are no RESP3, or nest deeper than replies may.
    #[error("the server sent what is no reply: {0}")]
    Protocol(String),
    /// A command cannot be encoded.
    #[error("the command cannot be sent: {0}")]
    Command(String),
}

impl Error {
    /// Never: the same bytes are wrong again.
    pub fn is_retriable(&self) -> bool {
        false
    }
}
