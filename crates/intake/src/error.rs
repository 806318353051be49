//! What can happen to a sale on its way.

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

    /// Whether it is sure that nothing was written, so that a retry cannot count the sale
    /// twice even without an idempotency key.
    pub fn is_surely_unwritten(&self) -> bool {
        use IntakeError::{Invalid, KeyTaken, Overloaded};
        matches!(self, Invalid(_) | KeyTaken(_) | Overloaded(_))
    }
}
