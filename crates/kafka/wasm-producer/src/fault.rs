//! A failure that may be temporary, and its error for records that waited too long.

use kafka_protocol::error::ResponseError as Code;

use crate::verdict::words;
use crate::{ConnectError, ProduceError};

/// Why a partition's records are not written yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    reason: String,
    /// Whether the leader cannot be reached or has too few in-sync replicas.
    is_unavailable: bool,
}

impl Fault {
    /// The broker answered with this error code.
    pub fn answer(code: i16) -> Self {
        let error = Code::try_from_code(code);
        let is_unavailable =
            matches!(error, Some(Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend));
        Self { reason: words(code), is_unavailable }
    }

    /// There is no connection to the leader.
    pub fn lost(error: &ConnectError) -> Self {
        Self { reason: error.to_string(), is_unavailable: true }
    }

    /// The leader did not answer.
    pub fn silence() -> Self {
        Self { reason: "no acknowledgement in time".into(), is_unavailable: false }
    }

    /// The error for a record that waited for too long. `about` adds the topic and the partition to
    /// the reason.
    pub fn error(&self, about: impl FnOnce(&str) -> String) -> ProduceError {
        let text = about(&self.reason);
        if self.is_unavailable {
            ProduceError::Unavailable(text)
        } else {
            ProduceError::TimedOut(text)
        }
    }
}
