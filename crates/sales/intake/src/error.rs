//! The errors of the request path of a sale.

use std::borrow::Cow;

use sale::Violation;

/// Why a sale was not accepted; the cases of `doorbuster:sales/types.intake-error`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// The sale is not valid. Nothing was written.
    #[error("{0}")]
    Invalid(#[from] Violation),
    /// The idempotency key was used for another sale. Nothing was written.
    #[error("{0}")]
    KeyTaken(String),
    /// Too many sales are in progress. Nothing was written.
    #[error("{0}")]
    Overloaded(String),
    /// A later hop, or a server that it needs, cannot be reached. The sale may have been written.
    #[error("{0}")]
    Unavailable(String),
    /// No answer in time. The sale may have been written.
    #[error("{0}")]
    TimedOut(String),
    /// Any other failure of a later hop. The sale may have been written.
    #[error("{0}")]
    Other(String),
}

impl IntakeError {
    /// Whether the same sale may be accepted later.
    pub fn is_retriable(&self) -> bool {
        !matches!(self, IntakeError::Invalid(_) | IntakeError::KeyTaken(_))
    }

    /// The text for the client. The original texts of failures behind this service contain host
    /// names, topics and settings, so they are replaced; see [`IntakeError::for_log`].
    pub fn for_client(&self) -> Cow<'_, str> {
        match self {
            Self::Invalid(violation) => violation.reason.as_str().into(),
            Self::KeyTaken(text) | Self::Overloaded(text) => text.into(),
            Self::Unavailable(_) => {
                "nothing can be written at the moment; this request may have been written, so send \
                 it again with the same idempotency key"
                    .into()
            }
            Self::TimedOut(_) => {
                "no acknowledgement came in time; the request may have been written, so send it \
                 again with the same idempotency key"
                    .into()
            }
            Self::Other(_) => {
                "a fault behind this service; the request may have been written, so send it again \
                 only with the same idempotency key"
                    .into()
            }
        }
    }

    /// The text that is only for the log; None if the client gets the full text.
    pub fn for_log(&self) -> Option<&str> {
        match self {
            Self::Unavailable(text) | Self::TimedOut(text) | Self::Other(text) => Some(text),
            Self::Invalid(_) | Self::KeyTaken(_) | Self::Overloaded(_) => None,
        }
    }

    /// Whether it is certain that nothing was written, so that a retry cannot count the sale twice
    /// even without an idempotency key.
    pub fn is_surely_unwritten(&self) -> bool {
        use IntakeError::{Invalid, KeyTaken, Overloaded};
        matches!(self, Invalid(_) | KeyTaken(_) | Overloaded(_))
    }
}
