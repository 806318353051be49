//! Sends open letters back, and reports the result as JSON.

use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;
use spin_kafka_trigger::{DeadLetterTopic, Error, ReplayLimits, SentBack};

use super::LetterTopic;
use super::list::TOPICS_NAMED_MAX;
use super::problem::Problem;

/// The most letters that one request sends back.
const LETTERS_MAX: u64 = 1_000;
/// The most letters that one request tries: those that it sends, and those that cannot be sent.
const TRIED_MAX: u64 = 10_000;
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
    /// Whether each open letter was sent back, or cannot be sent.
    complete: bool,
    /// The dead-letter topics whose letters a failure prevented from being sent.
    failed_topics: Vec<String>,
}

#[derive(Serialize)]
struct Failure {
    topic: String,
    partition: i32,
    offset: i64,
    reason: String,
}

/// Sends back open letters, topic by topic, and in each topic in the order of partition and offset.
/// A topic that cannot be read or marked does not prevent the others from being sent. The run ends
/// if letters were sent without being marked: the failure may affect the other topics, too.
pub(super) fn send_back(topics: &[LetterTopic], deadline: Instant) -> Result<Bytes, Problem> {
    let mut replayed = Replayed::default();
    let (mut is_in_time, mut is_marked) = (true, true);
    let (mut failed_topics, mut failure) = (0, None);
    for topic in topics {
        match replayed.send_topic(topic, deadline) {
            // A topic without letters need not exist.
            Ok(()) | Err(Error::LettersTopicMissing { .. }) => continue,
            Err(error) => {
                tracing::warn!("not all dead letters were sent back: {error}");
                match error {
                    Error::LettersTimedOut { .. } => is_in_time = false,
                    Error::LettersUnmarked { .. } => is_marked = false,
                    _ => {
                        failed_topics += 1;
                        if replayed.failed_topics.len() < TOPICS_NAMED_MAX {
                            replayed.failed_topics.push(topic.name.clone());
                        }
                    }
                }
                failure = Some(error);
            }
        }
        if !is_in_time || !is_marked {
            break;
        }
    }
    let Replayed { sent, failed, open, .. } = replayed;
    tracing::info!(sent, failed, "dead letters were sent back on request");
    replayed.complete = failure.is_none() && open <= failed;
    match failure {
        _ if !is_marked => Err(Problem::ReplayFailed { sent }),
        Some(error) if sent + failed == 0 && (!is_in_time || failed_topics == topics.len()) => {
            Err(Problem::of_read(&error, None))
        }
        // This cannot fail: strings and numbers are written to memory.
        _ => Ok(serde_json::to_vec(&replayed).unwrap_or_default().into()),
    }
}

impl Replayed {
    fn send_topic(&mut self, topic: &LetterTopic, deadline: Instant) -> Result<(), Error> {
        let LetterTopic { name, config } = topic;
        let letters = DeadLetterTopic::open(config, name)?.with_deadline(deadline);
        let survey = letters.survey()?;
        self.open += survey.counts().open;
        let limits = ReplayLimits {
            sent_max: LETTERS_MAX.saturating_sub(self.sent),
            tried_max: TRIED_MAX.saturating_sub(self.sent + self.failed),
        };
        letters.replay(&survey, limits, |step| match step {
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
            _ => {}
        })
    }
}
