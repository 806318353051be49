//! The errors of this crate.

/// An address, a reply or a command is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The URL does not have the form of [`Servers::parse`](crate::Servers::parse).
    /// The text does not contain the URL, which may contain a password.
    #[error(
        "the URL must be redis[s][+sentinel]://[user:password@]host[:port][,host[:port]…][/service]\
         [/db]: {0}"
    )]
    Address(String),
    /// The received bytes are not RESP, or nested too deeply.
    #[error("the server sent an invalid reply: {0}")]
    Protocol(String),
    /// A command cannot be split.
    #[error("a command is invalid: {0}")]
    Command(String),
    /// There are more commands than this number.
    #[error("there are more than {0} commands")]
    Commands(usize),
}

impl Error {
    /// Always false: the same bytes are rejected again.
    pub fn is_retriable(&self) -> bool {
        false
    }
}
