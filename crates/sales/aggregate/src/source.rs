//! The partition that a batch comes from.

/// A partition of one log, as it is read by one consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The consumer group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The id of the log; empty if the broker reports none.
    pub log_id: String,
    /// The partition's number.
    pub partition: i32,
}

impl Source {
    /// The commands that read the stored position: one for the log id, one for the offset. Another
    /// consumer may write both between the commands, when a topic was created again. Because the log
    /// id is read first, the offset never belongs to an earlier log than the id: records of the new
    /// log are not skipped.
    pub fn position_commands(&self) -> [Vec<Vec<u8>>; 2] {
        [self.log_key(), self.offset_key()].map(|key| {
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

    pub(crate) fn offset_key(&self) -> String {
        format!("offset:{}:{}", self.group, self.topic)
    }

    pub(crate) fn log_key(&self) -> String {
        format!("offset_log:{}:{}", self.group, self.topic)
    }

    /// The keys of the stored fingerprints: the younger generation, the older one, and the start
    /// times of the younger generations of all partitions.
    pub(crate) fn seen_keys(&self) -> [String; 3] {
        let Self { group, topic, partition, .. } = self;
        [
            format!("seen:{group}:{topic}:{partition}"),
            format!("seen_before:{group}:{topic}:{partition}"),
            format!("seen_since:{group}:{topic}"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_id_is_read_before_the_offset() {
        let source =
            Source { group: "g".into(), topic: "t".into(), log_id: "new".into(), partition: 3 };
        let keys = source.position_commands().map(|words| words[1].clone());
        assert_eq!(keys, [source.log_key(), source.offset_key()].map(String::into_bytes));
        assert_eq!(source.position(Some(b"new"), Some(b"7")), Some(7));
        assert_eq!(source.position(Some(b"old"), Some(b"7")), None);
        assert_eq!(source.position(None, Some(b"7")), Some(7));
    }
}
