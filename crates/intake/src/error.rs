//! What can happen to a sale on its way.

use std::borrow::Cow;

use sale::Violation;

/// Why a sale was not accepted; the cases of `doorbuster:sales/types.intake-error`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// The sale is wrong. Nothing was written.
    #[error("{0}")]
    Invalid(#[from] Violation),
    /// The idempotency key belongs to another sale. Nothing was written.
    #[error("{0}")]
    KeyTaken(String),
    /// Too much is under way. Nothing was written.
    #[error("{0}")]
    Overloaded(String),
    /// Something further down cannot be reached. It may have been written.
    #[error("{0}")]
    Unavailable(String),
    /// No answer in time. It may have been written.
    #[error("{0}")]
    TimedOut(String),
    /// Any other fault further down. It may have been written.
    #[error("{0}")]
    Other(String),
}

impl IntakeError {
    /// Whether the same sale may be accepted later.
    pub fn is_retriable(&self) -> bool {
        !matches!(self, IntakeError::Invalid(_) | IntakeError::KeyTaken(_))
    }

    /// What a client is told of it. Texts about what is behind this service name hosts, topics and
    /// settings: they are for the log.
    pub fn for_client(&self) -> Cow<'_, str> {
        match self {
            Self::Invalid(violation) => violation.reason.as_str().into(),
            Self::KeyTaken(text) | Self::Overloaded(text) => text.into(),
            Self::Unavailable(_) => {
                "sales cannot be written at the moment; this one may have been written, so send \
                 it again with the same Idempotency-Key"
                    .into()
            }
            Self::TimedOut(_) => {
                "no acknowledgement came in time; the sale may have been written, so send it again \
                 with the same Idempotency-Key"
                    .into()
            }
            Self::Other(_) => {
                "a fault behind this service; the sale may have been written, so send it again \
                 only with the same Idempotency-Key"
                    .into()
            }
        }
    }

    /// What no client is told of it.
    pub fn for_log(&self) -> Option<&str> {
        match self {
            Self::Unavailable(text) | Self::TimedOut(text) | Self::Other(text) => Some(text),
            Self::Invalid(_) | Self::KeyTaken(_) | Self::Overloaded(_) => None,
        }
    }

    /// Whether it is sure that nothing was written, so that a retry cannot count the sale
    /// twice even without an idempotency key.
    pub fn is_surely_unwritten(&self) -> bool {
        use IntakeError::{Invalid, KeyTaken, Overloaded};
        matches!(self, Invalid(_) | KeyTaken(_) | Overloaded(_))
    }
}
