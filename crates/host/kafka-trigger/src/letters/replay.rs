//! Sends open letters back, and reports the result as JSON.

use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;
use spin_kafka_trigger::{DeadLetterTopic, Error, SentBack};

use super::LetterTopic;
use super::fault::Fault;

/// The most letters that one request sends back.
const LETTERS_MAX: u64 = 1_000;
/// The most letters that are named because they cannot be sent.
const FAILURES_MAX: usize = 20;

/// The result of a request.
#[derive(Default, Serialize)]
struct Replayed {
    /// The letters that were sent back.
    sent: u64,
    /// The letters that cannot be sent. They remain open.
    failed: u64,
    /// The first of those, with the reasons.
    failures: Vec<Failure>,
    /// The letters that are still open.
    open: u64,
}

#[derive(Serialize)]
struct Failure {
    topic: String,
    partition: i32,
    offset: i64,
    reason: String,
}

/// Sends back the oldest open letters of each topic.
pub(super) fn send_back(topics: &[LetterTopic], deadline: Instant) -> Result<Bytes, Fault> {
    let mut replayed = Replayed::default();
    let ended = topics.iter().try_for_each(|topic| replayed.send_topic(topic, deadline));
    let Replayed { sent, failed, .. } = replayed;
    tracing::info!(sent, failed, "dead letters were sent back on request");
    match ended {
        // This cannot fail: strings and numbers are written to memory.
        Ok(()) => Ok(serde_json::to_vec(&replayed).unwrap_or_default().into()),
        Err(error) => {
            tracing::warn!("not all dead letters were sent back: {error}");
            Err(if sent > 0 { Fault::Interrupted { sent } } else { Fault::from(&error) })
        }
    }
}

impl Replayed {
    fn send_topic(&mut self, topic: &LetterTopic, deadline: Instant) -> Result<(), Error> {
        let LetterTopic { name, config } = topic;
        let letters = DeadLetterTopic::open(config, name)?.with_deadline(deadline);
        let survey = letters.survey()?;
        self.open += survey.counts().open;
        letters.replay(&survey, LETTERS_MAX.saturating_sub(self.sent), |step| match step {
            SentBack::Sent(sent) => {
                self.sent += sent;
                self.open = self.open.saturating_sub(sent);
            }
            SentBack::Left { partition, offset, reason } => {
                self.failed += 1;
                if self.failures.len() < FAILURES_MAX {
                    self.failures.push(Failure { topic: name.clone(), partition, offset, reason });
                }
            }
        })
    }
}
