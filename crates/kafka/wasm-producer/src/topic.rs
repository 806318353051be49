//! The metadata of a topic.

use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::error::ResponseError as Code;

use crate::outcome::{error_text, is_refusal};

/// A topic whose metadata was requested.
pub struct Topic {
    pub name: Rc<str>,
    /// The indexes of its partitions, ordered by partition number; empty until a broker has
    /// reported them.
    pub partitions: Vec<usize>,
    /// The current number of partitions. A topic that was created again may have fewer than before.
    pub count: usize,
    /// When the brokers reported them.
    pub refreshed: Duration,
    /// Number of calls that wait for the metadata.
    pub waiting_calls: usize,
    /// The error that the brokers reported instead.
    pub error: Option<TopicError>,
    /// The partition for records without a key, and until when, so that records of many calls share
    /// a batch.
    pub sticky: Option<(usize, Duration)>,
}

/// The brokers reported an error for a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicError {
    /// Kafka's error code.
    pub code: i16,
    /// When it was first reported.
    pub first_reported: Duration,
    /// When it was last reported.
    pub last_reported: Duration,
}

impl TopicError {
    /// Whether a call that began at `entered` need not wait any longer. A missing topic may have
    /// been created just before, so calls wait up to `limit`.
    pub fn is_final(&self, entered: Duration, now: Duration, limit: Duration) -> bool {
        match Code::try_from_code(self.code) {
            Some(Code::UnknownTopicOrPartition) => {
                now.saturating_sub(self.first_reported.max(entered)) >= limit
            }
            code => code.is_some_and(is_refusal),
        }
    }

    /// The error as a text.
    pub fn reason(&self) -> String {
        match Code::try_from_code(self.code) {
            Some(Code::UnknownTopicOrPartition) => "it does not exist".into(),
            _ => error_text(self.code),
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
            refreshed: Duration::ZERO,
            waiting_calls: 0,
            error: None,
            sticky: None,
        }
    }

    /// The brokers reported this error code; 0 means no error.
    pub fn set_error(&mut self, code: i16, now: Duration) {
        let before = self.error.filter(|error| error.code == code);
        let first_reported = before.map_or(now, |error| error.first_reported);
        self.error = (code != 0).then_some(TopicError { code, first_reported, last_reported: now });
    }
}
