//! Why a check could not be made.

use rdkafka::error::KafkaError;

/// A check could not be made. Texts say where and what to do; secrets are in none of them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting of ours is wrong.
    #[error("setting `{setting}`: {reason}")]
    Config {
        /// The setting's name.
        setting: String,
        /// What is wrong with it. Its value is left out: it may be a secret.
        reason: String,
    },
    /// No answer.
    #[error("{place} does not answer: {reason}. Check that it runs and can be reached from here")]
    Unreachable {
        /// Which server.
        place: String,
        /// What was tried, or how long.
        reason: String,
    },
    /// The server answered, and does not let us go on.
    #[error("{place} refuses: {reason}. {remedy}")]
    Refused {
        /// Which server.
        place: String,
        /// The server's words.
        reason: String,
        /// What to do.
        remedy: String,
    },
}

impl Error {
    /// Whether asking again may help without anyone changing anything.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    pub(crate) fn unreachable(place: &str, reason: impl ToString) -> Self {
        Self::Unreachable { place: place.into(), reason: clause(reason) }
    }

    pub(crate) fn refused(place: &str, reason: impl ToString, remedy: &str) -> Self {
        Self::Refused { place: place.into(), reason: clause(reason), remedy: remedy.into() }
    }

    /// The Kafka client could not be made.
    pub(crate) fn client(error: &KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, _, name, _) => Self::Config {
                setting: format!("client.\"{name}\""),
                reason: "librdkafka does not know it, does not take its value, or was built \
                         without it"
                    .into(),
            },
            error => Self::Config { setting: "client".into(), reason: error.to_string() },
        }
    }
}

/// The words of a server, to go on after them.
fn clause(reason: impl ToString) -> String {
    reason.to_string().trim_end_matches('.').into()
}
