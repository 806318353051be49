//! Counts that another program stored before this function counted anything.

use crate::Source;

/// The answer to the trigger's question for the position if another program counted the records up
/// to the group's committed offset: `spin-kafka:events/checkpoint` defines it.
pub const COMMITTED: i64 = -1;

/// What happens with counts of another program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExistingCounts {
    /// The program does not start.
    #[default]
    Refuse,
    /// They are continued from the offsets that the group has committed in Kafka.
    Adopt,
}

/// Why the program does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExistingCountsError {
    /// Another program counted.
    #[error(
        "Valkey contains counts of another program: the key `{key}` exists, but no position that \
         shows which records of `{topic}` it includes. To count the topic from its beginning would \
         count records twice. If that program read the topic with the consumer group `{group}`, \
         stop it, and set the Spin variable `existing_counts` to `adopt`: the counts are continued \
         from the offsets that the group has committed in Kafka. Or set the Spin variable \
         `key_prefix` to a name: the topic is counted from its beginning under other keys. Or \
         delete the keys of the other program"
    )]
    Refused {
        /// A key of the other program.
        key: String,
        /// The topic.
        topic: String,
        /// The consumer group.
        group: String,
    },
    /// The value of the setting is not valid.
    #[error("Spin variable `existing_counts`: `{0}` must be `refuse` or `adopt`")]
    Invalid(String),
}

impl ExistingCounts {
    /// The Spin variable that sets it.
    pub const VARIABLE: &str = "existing_counts";

    /// Parses the value of the variable. None means that it is not set.
    pub fn parse(value: Option<&str>) -> Result<Self, ExistingCountsError> {
        match value {
            None | Some("refuse") => Ok(Self::Refuse),
            Some("adopt") => Ok(Self::Adopt),
            Some(other) => Err(ExistingCountsError::Invalid(other.into())),
        }
    }

    /// Fails if counts of another program must not be adopted.
    pub fn check(self, source: &Source) -> Result<(), ExistingCountsError> {
        match self {
            Self::Adopt => Ok(()),
            Self::Refuse => Err(ExistingCountsError::Refused {
                key: source.counted_key().unwrap_or_default(),
                topic: source.topic.clone(),
                group: source.group.clone(),
            }),
        }
    }
}
