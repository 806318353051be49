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

impl Source {
    /// The commands that read the stored position: one for the log id, one for the offset. Another
    /// consumer may write both between the commands, when a topic was created again. Because the log
    /// id is read first, the offset never belongs to an earlier log than the id: records of the new
    /// log are not skipped.
    pub fn position_commands(&self) -> [Vec<Vec<u8>>; 2] {
        [self.log_key(), self.position_key()].map(|key| {
            vec![b"HGET".to_vec(), key.into_bytes(), self.partition.to_string().into_bytes()]
        })
    }

    /// The stored position, from the replies to [`Source::position_commands`]. None if there is
    /// none, or if it belongs to another log.
    pub fn position(&self, log_id: Option<&[u8]>, offset: Option<&[u8]>) -> Option<i64> {
        let known = log_id.unwrap_or_default();
        let other = !known.is_empty() && !self.log_id.is_empty() && known != self.log_id.as_bytes();
        if other {
            return None;
        }
        std::str::from_utf8(offset?).ok()?.parse().ok()
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
        self.namespace.internal_key(&format!("position:{}:{}", self.group, self.topic))
    }

    fn log_key(&self) -> String {
        self.namespace.internal_key(&format!("log:{}:{}", self.group, self.topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_id_is_read_before_the_offset() {
        let source = Source {
            namespace: crate::Namespace::new("n", 1).unwrap(),
            group: "g".into(),
            topic: "t".into(),
            log_id: "new".into(),
            partition: 3,
        };
        let keys = source.position_commands().map(|words| words[1].clone());
        assert_eq!(keys, [source.log_key(), source.position_key()].map(String::into_bytes));
        assert_eq!(source.position(Some(b"new"), Some(b"7")), Some(7));
        assert_eq!(source.position(Some(b"old"), Some(b"7")), None);
        assert_eq!(source.position(None, Some(b"7")), Some(7));
    }
}
