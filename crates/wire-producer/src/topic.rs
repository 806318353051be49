//! What the brokers say about a topic.

use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::error::ResponseError as Code;

use crate::verdict::{is_refusal, words};

/// A topic that was asked about.
pub struct Topic {
    pub name: Rc<str>,
    /// Its partitions, in the order of their numbers, by their places among all; none until
    /// the brokers have named them.
    pub partitions: Vec<usize>,
    /// How many of them there are now: a topic that is made anew may have fewer.
    pub count: usize,
    /// When the brokers named them.
    pub asked: Duration,
    /// Calls that wait for them.
    pub wanted: usize,
    /// What the brokers answer instead.
    pub fault: Option<TopicFault>,
    /// Where records without a key go, and until when: so records of many calls share a batch.
    pub sticky: Option<(usize, Duration)>,
}

/// Brokers' answer that there is something wrong with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicFault {
    /// Kafka's number of it.
    pub code: i16,
    /// Since when they say so.
    pub since: Duration,
    /// When they last said so.
    pub said: Duration,
}

impl TopicFault {
    /// Whether a call that began at `entered` need not wait for it to pass. A topic that is
    /// not there may only just have been made, and is waited for with `patience`.
    pub fn is_final(&self, entered: Duration, now: Duration, patience: Duration) -> bool {
        match Code::try_from_code(self.code) {
            Some(Code::UnknownTopicOrPartition) => {
                now.saturating_sub(self.since.max(entered)) >= patience
            }
            code => code.is_some_and(is_refusal),
        }
    }

    /// What the brokers say.
    pub fn reason(&self) -> String {
        match Code::try_from_code(self.code) {
            Some(Code::UnknownTopicOrPartition) => "it does not exist".into(),
            _ => words(self.code),
        }
    }
}

impl Topic {
    /// A topic that nobody was asked about yet.
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

    /// The brokers answered so, or without a fault.
    pub fn answered(&mut self, code: i16, now: Duration) {
        let before = self.fault.filter(|fault| fault.code == code);
        let since = before.map_or(now, |fault| fault.since);
        self.fault = (code != 0).then_some(TopicFault { code, since, said: now });
    }
}
