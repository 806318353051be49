//! A failure that may be temporary, and its error for records that waited too long.

use kafka_protocol::error::ResponseError as Code;

use crate::outcome::error_text;
use crate::{ConnectError, ProduceError};

/// Why a partition's records are not written yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    reason: String,
    /// Whether the leader cannot be reached or has too few in-sync replicas.
    is_unavailable: bool,
}

impl Fault {
    /// The fault for an error code of the broker.
    pub fn from_code(code: i16) -> Self {
        let error = Code::try_from_code(code);
        let is_unavailable =
            matches!(error, Some(Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend));
        Self { reason: error_text(code), is_unavailable }
    }

    /// The fault for a missing connection to the leader.
    pub fn unreachable(error: &ConnectError) -> Self {
        Self { reason: error.to_string(), is_unavailable: true }
    }

    /// The fault for a leader that did not answer in time.
    pub fn timeout() -> Self {
        Self { reason: "no acknowledgement in time".into(), is_unavailable: false }
    }

    /// The error for a record that waited for too long. `describe` adds the topic and the partition
    /// to the reason.
    pub fn error(&self, describe: impl FnOnce(&str) -> String) -> ProduceError {
        let text = describe(&self.reason);
        if self.is_unavailable {
            ProduceError::Unavailable(text)
        } else {
            ProduceError::TimedOut(text)
        }
    }
}
