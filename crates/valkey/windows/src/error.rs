//! Why settings, a record or a batch is refused.

use crate::limits::{
    ADDITIONS_MAX, AMOUNT_LIMIT, GROUP_BYTES_MAX, INTEGER_MAX, SETTINGS_BYTES_MAX,
};

/// The settings are not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The text is too long.
    #[error("the settings have more than {SETTINGS_BYTES_MAX} bytes")]
    TooLong,
    /// The text does not parse.
    #[error("{0}")]
    Syntax(String),
    /// A value is not valid.
    #[error("`{setting}` {problem}")]
    Value {
        /// The name of the setting.
        setting: String,
        /// What is wrong.
        problem: String,
    },
}

impl SettingsError {
    pub(crate) fn value(setting: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Value { setting: setting.into(), problem: problem.into() }
    }
}

/// A record cannot be added to windows. This depends only on the record and the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The value is not JSON.
    #[error("the value is not JSON: {0}")]
    Json(String),
    /// A part of the record is missing.
    #[error("the record has no {0}")]
    Missing(String),
    /// A part of the record has another type or form.
    #[error("{place} is not {expected}")]
    Form {
        /// Which part.
        place: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The event time is too far after the timestamp of the record. It would make later records late.
    #[error("the event time is more than `time_ahead_max_s` after the timestamp of the record")]
    Ahead,
    /// A text is too long.
    #[error("a group, member or distinct value is empty or has more than {GROUP_BYTES_MAX} bytes")]
    Text,
    /// A function used a name of an aggregate that is not valid.
    #[error("the name of an aggregate has 1 to 100 letters, digits, `-`, `_` or `.`, not `{0}`")]
    Name(String),
    /// A number is too large.
    #[error(
        "a number is too large: an integer is at most {INTEGER_MAX}, a decimal is below \
         {AMOUNT_LIMIT}"
    )]
    Number,
    /// The record changes too many values.
    #[error("the record changes more than {ADDITIONS_MAX} values in its windows")]
    TooManyAdditions,
}

impl RecordError {
    /// The name of an aggregate is not valid. Only its beginning becomes part of the reason.
    pub(crate) fn name(aggregate: &str) -> Self {
        Self::Name(aggregate.chars().take(100).collect())
    }
}

/// A batch cannot be applied, and a retry does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The settings differ from those with which the stored windows were counted.
    #[error(
        "`time`, `time_unit`, `window`, `group` or `aggregates` was changed: set `version` to the \
         next number, then the windows are counted again from the log"
    )]
    SettingsChanged,
    /// A stored value is not what this crate writes.
    #[error("the key `{0}` was changed by another program")]
    Stored(String),
    /// An aggregate that a session cannot contain.
    #[error("the aggregate `{0}` is of a kind that sessions do not support")]
    NotInSessions(String),
    /// A name is used for two kinds of aggregates.
    #[error("the aggregate `{0}` is used as two kinds")]
    Kind(String),
    /// A sum is too large.
    #[error("the sum of the aggregate `{0}` is too large")]
    Overflow(String),
}
