//! What a handler answers if it cannot apply a record or a batch.

use std::error::Error as StdError;
use std::fmt::{self, Display, Formatter};

use crate::producer::SendError;

/// Why nothing of a batch was applied.
///
/// `?` converts every [`std::error::Error`] into [`Retry`](Self::Retry), because a retry loses
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// A temporary failure. The same batch is handed over again after a growing pause, by default
    /// without a limit. The text is logged.
    Retry(String),
    /// The stored position, which is before the start of the batch. The host seeks to it. Only for
    /// a component with [`position`](macro@crate::position).
    Rewind(i64),
    /// Nothing is stored any more, not even the position. The host requests the position again.
    /// Only for a batch with an [expected position](crate::Batch::expected_position).
    Lost,
    /// A retry does not help: the trigger stops with this text.
    Fatal(String),
}

impl Failure {
    /// A temporary failure.
    pub fn retry(reason: impl Display) -> Self {
        Self::Retry(reason.to_string())
    }

    /// A failure that stops the trigger.
    pub fn fatal(reason: impl Display) -> Self {
        Self::Fatal(reason.to_string())
    }
}

impl<E: StdError> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Retry(with_causes(&error))
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(reason) | Self::Fatal(reason) => f.write_str(reason),
            Self::Rewind(position) => write!(f, "the stored position is {position}"),
            Self::Lost => f.write_str("nothing is stored any more"),
        }
    }
}

/// Why a record was not applied.
///
/// `?` converts every [`std::error::Error`] into a retry, because a retry loses nothing, and the
/// type of an error does not say whether the record or something else caused it. Only
/// [`SendError::TooLarge`] rejects the record. [`Record::json`](crate::Record::json) and
/// [`Json`](crate::Json) reject a record whose value does not parse. For other errors that the data
/// of the record causes, use [`OrFail`]:
///
/// ```
/// use std::net::IpAddr;
/// use spin_kafka_sdk::{Error, OrFail as _};
///
/// fn parse(text: &str) -> Result<IpAddr, Error> {
///     text.parse::<IpAddr>().or_reject()
/// }
///
/// assert_eq!(parse("here"), Err(Error::reject("invalid IP address syntax")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The record is refused permanently, for this reason. It is written to the dead-letter topic,
    /// or handled as the trigger's `failed_records` says.
    Reject(String),
    /// The record cannot be applied now.
    Failure(Failure),
}

impl Error {
    /// Refuses the record permanently.
    pub fn reject(reason: impl Display) -> Self {
        Self::Reject(reason.to_string())
    }

    /// A temporary failure.
    pub fn retry(reason: impl Display) -> Self {
        Self::Failure(Failure::retry(reason))
    }

    /// A failure that stops the trigger.
    pub fn fatal(reason: impl Display) -> Self {
        Self::Failure(Failure::fatal(reason))
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reject(reason) => f.write_str(reason),
            Self::Failure(failure) => failure.fmt(f),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl<E: StdError + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        match (&error as &dyn StdError).downcast_ref() {
            Some(SendError::TooLarge(_)) => Self::Reject(with_causes(&error)),
            _ => Self::Failure(error.into()),
        }
    }
}

/// The text of an error and of its causes.
fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Decides what an error means: of any type of [`std::error::Error`], of `anyhow` or `eyre`, or a
/// text. The reason contains the causes of the error.
pub trait OrFail<T> {
    /// The record is rejected, with the text of the error as the reason.
    fn or_reject(self) -> Result<T, Error>;

    /// The batch is retried.
    fn or_retry(self) -> Result<T, Failure>;

    /// The trigger stops.
    fn or_fatal(self) -> Result<T, Failure>;
}

impl<T, E: Into<Box<dyn StdError>>> OrFail<T> for Result<T, E> {
    fn or_reject(self) -> Result<T, Error> {
        self.map_err(|error| Error::Reject(with_causes(&*error.into())))
    }

    fn or_retry(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::Retry(with_causes(&*error.into())))
    }

    fn or_fatal(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::Fatal(with_causes(&*error.into())))
    }
}

/// A record of a batch that is refused permanently. The rest of the batch counts as applied.
///
/// If a batch is handed over again, its handler must return all of its rejections again: their
/// dead letters may not have been written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    offset: i64,
    reason: String,
    /// Whether the records before this one are the reason. Such a rejection is void if it turns out
    /// that the record repeats an earlier one.
    depends_on_earlier_records: bool,
}

impl Rejection {
    pub(crate) fn new(offset: i64, reason: impl Display) -> Self {
        Self { offset, reason: reason.to_string(), depends_on_earlier_records: false }
    }

    /// A rejection whose reason is the records before this one.
    pub(crate) fn because_of_earlier_records(offset: i64, reason: String) -> Self {
        Self { offset, reason, depends_on_earlier_records: true }
    }

    pub(crate) fn depends_on_earlier_records(&self) -> bool {
        self.depends_on_earlier_records
    }

    /// Offset of the record.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// The reason, for the operator.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn only_a_record_that_is_too_large_to_send_is_rejected_without_a_decision() {
        let json = serde_json::from_str::<u32>("x").unwrap_err();
        let rejects = |error: Error| matches!(error, Error::Reject(_));
        assert!(rejects(SendError::TooLarge("1".into()).into()));
        assert!(!rejects(json.into()));
        assert!(!rejects("x".parse::<u8>().unwrap_err().into()));
        assert!(!rejects(SendError::QueueFull.into()));
        assert!(!rejects(io::Error::other("down").into()));
    }

    #[test]
    fn the_reason_contains_the_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot store the order")]
        struct Store(#[source] io::Error);

        let store = || Store(io::Error::other("disk full"));
        let text = "cannot store the order: disk full";
        assert_eq!(Failure::from(store()), Failure::retry(text));
        assert_eq!(Err::<(), _>(store()).or_reject(), Err(Error::reject(text)));
        assert_eq!(Err::<(), _>(store()).or_retry(), Err(Failure::retry(text)));
        assert_eq!(Err::<(), _>(store()).or_fatal(), Err(Failure::fatal(text)));
        assert_eq!(Err::<(), _>(text.to_owned()).or_retry(), Err(Failure::retry(text)));
    }

    #[test]
    fn a_failure_keeps_its_kind_in_an_error() {
        let stop = || -> Result<(), Error> { Ok(Err::<(), _>("no settings").or_fatal()?) };
        assert_eq!(stop(), Err(Error::fatal("no settings")));
    }
}
