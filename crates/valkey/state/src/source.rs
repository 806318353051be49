//! The partition that a batch comes from.

use crate::Namespace;

/// A partition of one log, as it is read by one consumer group, and the state that its records
/// change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The state.
    pub namespace: Namespace,
    /// The consumer group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The id of the log; empty if the broker reports none.
    pub log_id: String,
    /// The partition's number.
    pub partition: i32,
}

/// The range of offsets of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetRange {
    /// The first offset.
    pub start: i64,
    /// The offset after the last one.
    pub end: i64,
    /// The position that must be stored if nothing was lost. `None` if nothing of the log was
    /// applied yet.
    pub expected_position: Option<i64>,
}

/// What the store contains of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The position: the end of the last batch.
    Position(i64),
    /// Nothing of this log.
    Nothing,
    /// Counts of another program, without a position.
    Foreign,
    /// Counts that another program began, and that are continued from the group's committed offset,
    /// because nothing of this partition was applied yet.
    Adopted,
}

impl Source {
    /// The commands that read what the store contains of the partition, each with one value. Another
    /// consumer may write the log id and the offset between the commands, when a topic was created
    /// again. Because the log id is read first, the offset never belongs to an earlier log than the
    /// id: records of the new log are not skipped.
    pub fn position_commands(&self) -> Vec<Vec<Vec<u8>>> {
        let field = |key: String| {
            vec![b"HGET".to_vec(), key.into_bytes(), self.partition.to_string().into_bytes()]
        };
        let mut commands = vec![field(self.log_key()), field(self.position_key())];
        if let Some(names) = self.namespace.fixed_names() {
            let value = |key: Vec<u8>| vec![b"GET".to_vec(), key];
            commands.push(value(self.adopted_key().into_bytes()));
            let keys = std::iter::once(&names.counted).chain(names.own);
            commands.extend(keys.map(|key| value(self.namespace.key(key.as_bytes()))));
        }
        commands
    }

    /// What the store contains, from the replies to [`Source::position_commands`].
    pub fn stored(&self, replies: &[Option<Vec<u8>>]) -> Stored {
        let [log_id, offset, existing @ ..] = replies else { return Stored::Nothing };
        let Some(offset) = offset else { return Self::without_position(existing) };
        let known = log_id.as_deref().unwrap_or_default();
        let other = !known.is_empty() && !self.log_id.is_empty() && known != self.log_id.as_bytes();
        let position = std::str::from_utf8(offset).ok().and_then(|text| text.parse().ok());
        position.filter(|_| !other).map_or(Stored::Nothing, Stored::Position)
    }

    fn without_position(existing: &[Option<Vec<u8>>]) -> Stored {
        match existing {
            [Some(_), ..] => Stored::Adopted,
            [None, Some(_), own @ ..] if own.iter().all(Option::is_none) => Stored::Foreign,
            _ => Stored::Nothing,
        }
    }

    /// The command after which the counts of another program are [`Stored::Adopted`] instead of
    /// [`Stored::Foreign`].
    pub fn adopt_command(&self) -> Vec<Vec<u8>> {
        vec![b"SET".to_vec(), self.adopted_key().into_bytes(), b"1".to_vec()]
    }

    /// The key that exists if anything was counted, for a state with fixed names.
    pub(crate) fn counted_key(&self) -> Option<String> {
        let key = self.namespace.key(self.namespace.fixed_names()?.counted.as_bytes());
        Some(String::from_utf8_lossy(&key).into_owned())
    }

    /// The keys that only the script uses, in the order in which it expects them.
    pub(crate) fn internal_keys(&self) -> [String; 5] {
        let Self { namespace, group, topic, partition, .. } = self;
        [
            self.position_key(),
            self.log_key(),
            namespace.internal_key(&format!("seen:{group}:{topic}:{partition}")),
            namespace.internal_key(&format!("seen_before:{group}:{topic}:{partition}")),
            namespace.internal_key(&format!("seen_since:{group}:{topic}")),
        ]
    }

    fn position_key(&self) -> String {
        // States with fixed names existed first.
        let name = if self.namespace.fixed_names().is_some() { "offset" } else { "position" };
        self.named(name)
    }

    fn log_key(&self) -> String {
        let name = if self.namespace.fixed_names().is_some() { "offset_log" } else { "log" };
        self.named(name)
    }

    fn adopted_key(&self) -> String {
        self.named("adopted")
    }

    /// The key of this name for the group and the topic.
    fn named(&self, name: &str) -> String {
        self.namespace.internal_key(&format!("{name}:{}:{}", self.group, self.topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExistingCounts, FixedNames};

    static NAMES: FixedNames = FixedNames { counted: "total", own: &["exact:a", "exact:b"] };

    fn source(namespace: Namespace) -> Source {
        let (group, topic, log_id) = ("g".into(), "t".into(), "new".into());
        Source { namespace, group, topic, log_id, partition: 3 }
    }

    fn replies(values: &[Option<&str>]) -> Vec<Option<Vec<u8>>> {
        values.iter().map(|value| value.map(|text| text.as_bytes().into())).collect()
    }

    #[test]
    fn the_log_id_is_read_before_the_offset() {
        let source = source(Namespace::new("n", 1).unwrap());
        let keys: Vec<_> = source.position_commands().into_iter().map(|w| w[1].clone()).collect();
        assert_eq!(keys, [source.log_key(), source.position_key()].map(String::into_bytes));
        let stored = |log, offset| source.stored(&replies(&[log, offset]));
        assert_eq!(stored(Some("new"), Some("7")), Stored::Position(7));
        assert_eq!(stored(Some("old"), Some("7")), Stored::Nothing);
        assert_eq!(stored(None, Some("7")), Stored::Position(7));
        assert_eq!(stored(None, None), Stored::Nothing);
    }

    #[test]
    fn counts_without_a_position_are_recognised() {
        let source = source(Namespace::fixed("", &NAMES).unwrap());
        let words = |command: Vec<Vec<u8>>| String::from_utf8(command.join(&b' ')).unwrap();
        let commands: Vec<_> = source.position_commands().into_iter().map(words).collect();
        assert_eq!(
            commands,
            [
                "HGET offset_log:g:t 3",
                "HGET offset:g:t 3",
                "GET adopted:g:t",
                "GET total",
                "GET exact:a",
                "GET exact:b",
            ]
        );
        assert_eq!(words(source.adopt_command()), "SET adopted:g:t 1");
        let stored = |values: [Option<&str>; 6]| source.stored(&replies(&values));
        let some = Some("1");
        assert_eq!(stored([None, None, None, None, None, None]), Stored::Nothing);
        assert_eq!(stored([None, None, None, some, None, None]), Stored::Foreign);
        // Another partition, topic or group was counted.
        assert_eq!(stored([None, None, None, some, None, some]), Stored::Nothing);
        assert_eq!(stored([None, None, some, some, None, None]), Stored::Adopted);
        assert_eq!(stored([None, None, some, some, some, None]), Stored::Adopted);
        // The topic was created again after something of the partition was applied.
        assert_eq!(stored([Some("old"), some, some, some, None, some]), Stored::Nothing);
        assert_eq!(stored([Some("new"), some, some, some, None, some]), Stored::Position(1));
    }

    #[test]
    fn counts_of_another_program_are_refused_unless_they_are_adopted() {
        let source = source(Namespace::fixed("shop", &NAMES).unwrap());
        let refused = ExistingCounts::parse(None).unwrap().check(&source).unwrap_err().to_string();
        for word in ["`shop:total`", "`t`", "`g`", "`existing_counts`", "`adopt`", "`key_prefix`"] {
            assert!(refused.contains(word), "{word}: {refused}");
        }
        assert_eq!(ExistingCounts::parse(Some("adopt")).unwrap().check(&source), Ok(()));
        assert!(ExistingCounts::parse(Some("yes")).is_err());
    }
}
