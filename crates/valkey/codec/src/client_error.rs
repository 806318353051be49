//! The error of a call of a client.

use crate::{Address, COMMANDS_MAX, CONNECT_LIMIT, REPLIES_BYTES_MAX, Refusal};

/// Why there are no replies; the type `doorbuster:valkey/client.client-error`, which describes the
/// cases.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The configuration is invalid.
    #[error("{0}")]
    Config(String),
    /// There is no connection. Nothing was executed.
    #[error("{0}")]
    Connect(String),
    /// The server rejected the credentials or the database. Nothing was executed.
    #[error("{0}")]
    Auth(String),
    /// The connection broke, or the deadline passed. Any of the commands may have been executed.
    #[error("{0}")]
    Interrupted(String),
    /// The commands or the replies are invalid.
    #[error("{0}")]
    Protocol(String),
}

impl ClientError {
    /// The error for a server that cannot be used.
    pub fn refused(address: &Address, reason: Refusal) -> Self {
        match reason {
            Refusal::Credentials(text) => Self::Auth(format!("{address}: {text}")),
            Refusal::Role(role) => Self::Connect(format!(
                "{address} is not the primary, so it does not accept writes; its role: {role}"
            )),
            Refusal::Other(text) => Self::Connect(format!("{address}: {text}")),
        }
    }

    /// The error for a server that does not answer while a connection is opened.
    pub fn no_answer(address: &Address) -> Self {
        Self::Connect(format!("{address}: no answer within {CONNECT_LIMIT:?}"))
    }

    /// The error for a call with more than [`COMMANDS_MAX`] commands.
    pub fn too_many_commands(commands: u32) -> Self {
        let text = format!("{commands} commands; at most {COMMANDS_MAX} are allowed in a call");
        Self::Protocol(text)
    }

    /// The error for replies with more than [`REPLIES_BYTES_MAX`].
    pub fn replies_too_long() -> Self {
        let text = format!("the replies are longer than {REPLIES_BYTES_MAX} bytes");
        Self::Interrupted(text)
    }

    /// The error, if it occurred before a command of a caller was sent to this server.
    pub fn while_opening(self, address: &Address) -> Self {
        match self {
            Self::Interrupted(text) => Self::Connect(format!("{address}: {text}")),
            Self::Protocol(text) => Self::Protocol(format!("{address}: {text}")),
            other => other,
        }
    }

    /// Combines the errors of all servers into one.
    pub(crate) fn combined(mut errors: Vec<Self>) -> Self {
        if errors.len() > 1 {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            let text = format!("no primary found: {}", texts.join("; "));
            let refused = errors.iter().any(|error| matches!(error, Self::Auth(_)));
            return if refused { Self::Auth(text) } else { Self::Connect(text) };
        }
        errors.pop().unwrap_or_else(|| Self::Connect("the list of servers is empty".into()))
    }
}
