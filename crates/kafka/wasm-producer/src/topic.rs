//! The metadata of a topic.

use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::error::ResponseError as Code;

use crate::verdict::{is_refusal, words};

/// A topic whose metadata was requested.
pub struct Topic {
    pub name: Rc<str>,
    /// The indexes of its partitions, ordered by partition number; empty until a broker has
    /// reported them.
    pub partitions: Vec<usize>,
    /// The current number of partitions. A topic that was created again may have fewer than before.
    pub count: usize,
    /// When the brokers reported them.
    pub asked: Duration,
    /// Number of calls that wait for the metadata.
    pub wanted: usize,
    /// The error that the brokers reported instead.
    pub fault: Option<TopicFault>,
    /// The partition for records without a key, and until when, so that records of many calls share
    /// a batch.
    pub sticky: Option<(usize, Duration)>,
}

/// The brokers reported an error for a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicFault {
    /// Kafka's error code.
    pub code: i16,
    /// When it was first reported.
    pub since: Duration,
    /// When it was last reported.
    pub said: Duration,
}

impl TopicFault {
    /// Whether a call that began at `entered` need not wait any longer. A missing topic may have
    /// been created just before, so calls wait for `patience`.
    pub fn is_final(&self, entered: Duration, now: Duration, patience: Duration) -> bool {
        match Code::try_from_code(self.code) {
            Some(Code::UnknownTopicOrPartition) => {
                now.saturating_sub(self.since.max(entered)) >= patience
            }
            code => code.is_some_and(is_refusal),
        }
    }

    /// The error as a text.
    pub fn reason(&self) -> String {
        match Code::try_from_code(self.code) {
            Some(Code::UnknownTopicOrPartition) => "it does not exist".into(),
            _ => words(self.code),
        }
    }
}

impl Topic {
    /// A topic whose metadata was not requested yet.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            partitions: Vec::new(),
            count: 0,
            asked: Duration::ZERO,
            wanted: 0,
            fault: None,
            sticky: None,
        }
    }

    /// The brokers reported this error code; 0 means no error.
    pub fn answered(&mut self, code: i16, now: Duration) {
        let before = self.fault.filter(|fault| fault.code == code);
        let since = before.map_or(now, |fault| fault.since);
        self.fault = (code != 0).then_some(TopicFault { code, since, said: now });
    }
}
