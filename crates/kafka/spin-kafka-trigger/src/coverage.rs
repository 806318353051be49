//! Checks whether the group reads every partition of its topics.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;

use crate::assignment;
use crate::consumer::{self, Consumer};
use crate::engine::Engine;
use crate::pattern::{self, is_pattern};
use crate::query::{ANSWER_TIMEOUT, QUIET_CHECKS};
use crate::{Config, GroupProtocol};

/// A topic's name and a partition's number.
type TopicPartition = (String, i32);

/// How often the group is compared with its topics.
const INTERVAL: Duration = Duration::from_secs(15);
/// The state of a group whose members have completed a rebalance.
const STABLE: &str = "Stable";
/// Number of consecutive checks that must find a partition without a member before it counts as
/// unread. While topics or members change, a partition may have no member for a moment. One of the
/// two numbers is chosen at random, so that not all members rejoin at once.
const FINDINGS: [u32; 2] = [2, 3];

/// Number of consecutive failed checks before the process is no longer ready.
const FAILED_READY: u32 = 1;
/// Log message for a failed check.
const NOT_COMPARED: &str = "it is not known whether the group reads every partition of its topics";

/// Compares the group with its topics, and rejoins it if partitions are not assigned.
///
/// The leader of the group assigns partitions according to its metadata of the topics at that
/// moment. It may omit a topic that is just being created again, and no later change corrects that.
pub(crate) struct CoverageCheck {
    last: Option<Instant>,
    /// Number of consecutive checks that found partitions without a member.
    found: u32,
    limit: u32,
    /// Number of consecutive checks that failed.
    failed: u32,
}

impl Default for CoverageCheck {
    fn default() -> Self {
        Self { last: None, found: 0, limit: limit(), failed: 0 }
    }
}

impl CoverageCheck {
    /// Runs a check if one is due. Blocks.
    pub fn run(&mut self, engine: &Engine, consumer: &Consumer) {
        if self.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            return;
        }
        self.last = Some(Instant::now());
        match self.check(engine, consumer) {
            Ok(()) => self.failed = 0,
            Err(error) => {
                self.count_failure(&engine.config.group, &error);
                if self.failed > FAILED_READY {
                    engine.progress.set_unanswered();
                }
            }
        }
    }

    fn count_failure(&mut self, group: &str, error: &KafkaError) {
        let failed = self.failed.saturating_add(1);
        self.failed = failed;
        if failed <= QUIET_CHECKS {
            tracing::debug!(group, failed, %error, "{NOT_COMPARED}");
        } else {
            tracing::warn!(group, failed, %error, "{NOT_COMPARED}");
        }
    }

    fn check(&mut self, engine: &Engine, consumer: &Consumer) -> KafkaResult<()> {
        let topics = Topics::find(engine, consumer)?;
        let unread = topics.unread(engine, consumer)?;
        // `None` means that a rebalance is in progress: partitions without a member may still be
        // assigned.
        if let Some(unread) = &unread {
            self.count_findings(engine, consumer, unread);
        }
        engine.progress.set_coverage(topics.missing, unread);
        Ok(())
    }

    fn count_findings(&mut self, engine: &Engine, consumer: &Consumer, unread: &[TopicPartition]) {
        self.found = if unread.is_empty() { 0 } else { self.found + 1 };
        if self.found < self.limit {
            return;
        }
        tracing::warn!(
            group = %engine.config.group, partitions = ?unread,
            "no member of the group reads these partitions; joining the group again"
        );
        if let Err(error) = consumer::rejoin(&engine.config, consumer) {
            engine.fail_group(format!("cannot subscribe again: {error}"));
        }
        (self.found, self.limit) = (0, limit());
    }
}

fn limit() -> u32 {
    fastrand::choice(FINDINGS).unwrap_or_default()
}

/// The topics that the settings select, as they exist.
#[derive(Default)]
struct Topics {
    missing: Vec<String>,
    partitions: Vec<TopicPartition>,
}

impl Topics {
    fn find(engine: &Engine, consumer: &Consumer) -> KafkaResult<Self> {
        let mut topics = Self::default();
        let (patterns, names): (Vec<_>, Vec<_>) =
            engine.config.topics.iter().partition(|topic| is_pattern(topic));
        for name in names {
            let named = consumer.fetch_metadata(Some(name), ANSWER_TIMEOUT)?;
            named.topics().iter().for_each(|found| topics.add(found));
        }
        let patterns: Vec<_> =
            patterns.into_iter().filter_map(|pattern| pattern::compile(pattern).ok()).collect();
        if !patterns.is_empty() {
            let all = consumer.fetch_metadata(None, ANSWER_TIMEOUT)?;
            let matches = |name: &str| patterns.iter().any(|pattern| pattern.is_match(name));
            all.topics().iter().filter(|topic| matches(topic.name())).for_each(|t| topics.add(t));
        }
        Ok(topics)
    }

    fn add(&mut self, topic: &MetadataTopic) {
        let name = topic.name();
        if topic.error().map(RDKafkaErrorCode::from)
            == Some(RDKafkaErrorCode::UnknownTopicOrPartition)
        {
            self.missing.push(name.to_owned());
        }
        let partitions = topic.partitions().iter();
        self.partitions.extend(partitions.map(|partition| (name.to_owned(), partition.id())));
    }

    /// The partitions that no member reads; `None` while a rebalance is in progress.
    fn unread(
        &self,
        engine: &Engine,
        consumer: &Consumer,
    ) -> KafkaResult<Option<Vec<TopicPartition>>> {
        // With KIP-848 the broker assigns the partitions and sees every change of a topic.
        let Config { group, group_protocol, .. } = &engine.config;
        if !engine.progress.is_member() || *group_protocol == GroupProtocol::Consumer {
            return Ok(None);
        }
        let groups = match consumer.fetch_group_list(Some(group), ANSWER_TIMEOUT) {
            // librdkafka's mock cluster cannot list groups.
            Err(KafkaError::GroupListFetch(RDKafkaErrorCode::UnsupportedFeature)) => {
                return Ok(None);
            }
            groups => groups?,
        };
        let Some(group) = groups.groups().iter().find(|group| group.state() == STABLE) else {
            return Ok(None);
        };
        let mut owned = HashSet::new();
        for member in group.members() {
            let Some(partitions) = member.assignment().and_then(assignment::read) else {
                return Ok(None);
            };
            owned.extend(partitions);
        }
        let is_owned = |(name, number): &TopicPartition| owned.contains(&(name.as_str(), *number));
        let unread = self.partitions.iter().filter(|partition| !is_owned(partition));
        Ok(Some(unread.cloned().collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_check_that_fails_again_and_again_is_logged() {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_writer(Mutex::new(log.clone())).finish();
        let error = KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
        let mut check = CoverageCheck::default();
        with_default(subscriber, || {
            (0..QUIET_CHECKS).for_each(|_| check.count_failure("group", &error));
            assert!(log.0.lock().unwrap().is_empty(), "brokers may restart");
            check.count_failure("group", &error);
        });
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains(NOT_COMPARED) && log.contains("OperationTimedOut"), "{log}");
    }
}
