//! Why a state was not changed.

use crate::limits::{BYTES_MAX, CALLS_MAX, ENTRY_WORDS_MAX, OPERATIONS_MAX, READS_MAX};

/// A change that a function made cannot be applied. The key is the name that the function used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The batch has too many changes.
    #[error(
        "a batch changes more than {OPERATIONS_MAX} values: set `batch_records_max` to a smaller \
         number"
    )]
    TooManyOperations,
    /// The changes are too large.
    #[error(
        "the changes of a batch have more than {BYTES_MAX} bytes: set `batch_records_max` to a \
         smaller number"
    )]
    TooManyBytes,
    /// The function reads too much.
    #[error("a batch reads more than {READS_MAX} values")]
    TooManyReads,
    /// The values that the function reads are too large.
    #[error(
        "the values that a batch reads, and their keys, have more than {BYTES_MAX} bytes: set \
         `batch_records_max` to a smaller number"
    )]
    TooManyReadBytes,
    /// A key is used as two types.
    #[error("the key `{0}` is changed as two types in one batch")]
    Type(String),
    /// A derived value whose operands are not changed.
    #[error("the key `{0}` is derived from a value that the batch does not change")]
    Derived(String),
    /// A sum is too large.
    #[error("a number in the key `{0}` would be too large")]
    Overflow(String),
    /// A number that is infinite or not a number.
    #[error("a change of the key `{0}` is not a finite number")]
    NotFinite(String),
    /// An entry of a stream without fields, or a stream without entries.
    #[error("an entry of the stream `{0}` has no fields, or the length of the stream is 0")]
    EmptyEntry(String),
    /// An entry of a stream with too many fields.
    #[error(
        "an entry of the stream `{0}` has more than {ENTRY_WORDS_MAX} words: fields and values \
         count separately"
    )]
    LargeEntry(String),
}

/// A transaction failed. Except for [`Error::Partial`], nothing of the batch was applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The function made a change that cannot be applied.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Valkey returned an error, for example because it is loading, read-only or out of memory.
    #[error("Valkey refused the changes: {0}")]
    Refused(String),
    /// A key in Valkey has another type, or a number in it is too large. The text names the key.
    #[error("{0}")]
    Stored(String),
    /// A command of the script failed after others had written. The text names the command and the
    /// key. The position of the batch is stored, so a retry would not apply the rest.
    #[error("{0}")]
    Partial(String),
    /// Another consumer, or a loss of Valkey's last updates, changed the position or the values that
    /// were read between the calls.
    #[error(
        "another consumer changes the same values at the same time, or Valkey lost its last \
         updates: not applied within {CALLS_MAX} calls"
    )]
    Contended,
    /// A reply that the script never returns.
    #[error("unexpected reply of the script: {0}")]
    Unexpected(String),
}

impl Error {
    /// Whether the same transaction may succeed later.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Contended => true,
            Self::Change(_) | Self::Stored(_) | Self::Partial(_) | Self::Unexpected(_) => false,
        }
    }
}
