//! The errors of the checks.

use kafka_client::Error as ClientError;

/// A check could not be performed. The texts name the server and the remedy, and contain no
/// secrets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting of the client is not valid.
    #[error("setting `{setting}`: {reason}")]
    Config {
        /// The setting's name.
        setting: String,
        /// Why it is not valid. The value is omitted, because it may be a secret.
        reason: String,
    },
    /// The server does not answer.
    #[error("{server} does not answer: {reason}. Check that it runs and can be reached from here")]
    Unreachable {
        /// The name of the server.
        server: String,
        /// The last error, or how long the check has waited.
        reason: String,
    },
    /// The server answered, but rejected the client.
    #[error("{server} rejects the request: {reason}. {remedy}")]
    Refused {
        /// The name of the server.
        server: String,
        /// The server's text.
        reason: String,
        /// What the operator can do.
        remedy: String,
    },
}

impl Error {
    /// Whether a later attempt may succeed without any change of the configuration.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    pub(crate) fn unreachable(server: &str, reason: impl ToString) -> Self {
        Self::Unreachable { server: server.into(), reason: clause(reason) }
    }

    pub(crate) fn refused(server: &str, reason: impl ToString, remedy: &str) -> Self {
        Self::Refused { server: server.into(), reason: clause(reason), remedy: remedy.into() }
    }
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Setting { setting, reason } => Self::Config { setting, reason },
            ClientError::Client { reason, .. } => Self::Config { setting: "client".into(), reason },
            other => Self::Config { setting: "client".into(), reason: other.to_string() },
        }
    }
}

/// A server's text without its full stop, so that the sentence can continue.
fn clause(reason: impl ToString) -> String {
    reason.to_string().trim_end_matches('.').into()
}
