//! Whether the group reads every partition of its topics.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;

use crate::assignment::{self, TopicPartition};
use crate::engine::Engine;
use crate::group::{Consumer, Group};
use crate::pattern::{self, is_pattern};
use crate::{Config, GroupProtocol};

/// How often the group is compared with its topics.
const INTERVAL: Duration = Duration::from_secs(15);
/// How long the cluster may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The state of a group whose members are agreed.
const STABLE: &str = "Stable";
/// Partitions may be without a member for a moment while topics or members change. Found so
/// often in a row, nobody is going to take them. One of the last two is left to chance, so that
/// not all members act at once.
const LOOKS: [u32; 2] = [2, 3];

/// Compares the group with its topics, and joins it again if partitions are left out.
///
/// The members' leader assigns partitions by what it knows of the topics at that moment. A
/// topic that is created again just then may be left out, and no later change corrects that.
pub(crate) struct CoverageCheck {
    last: Option<Instant>,
    /// How often in a row partitions were left out.
    found: u32,
    limit: u32,
}

impl CoverageCheck {
    pub fn new() -> Self {
        Self { last: None, found: 0, limit: limit() }
    }

    /// Looks if it is time to. Blocks.
    pub fn run(&mut self, engine: &Engine, consumer: &Consumer) {
        if self.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            return;
        }
        self.last = Some(Instant::now());
        match Topics::look(engine, consumer).and_then(|topics| {
            let unread = topics.unread(engine, consumer)?;
            Ok((topics.missing, unread))
        }) {
            Ok((missing, unread)) => {
                // While the members are not agreed, whatever is left out may still be taken.
                if let Some(unread) = &unread {
                    self.judge(engine, consumer, unread);
                }
                engine.progress.set_coverage(missing, unread);
            }
            Err(error) => {
                tracing::debug!(%error, "the group could not be compared with its topics");
            }
        }
    }

    fn judge(&mut self, engine: &Engine, consumer: &Consumer, unread: &[TopicPartition]) {
        self.found = if unread.is_empty() { 0 } else { self.found + 1 };
        if self.found < self.limit {
            return;
        }
        tracing::warn!(
            group = %engine.config.group, partitions = ?unread,
            "no member of the group reads these partitions; joining the group again"
        );
        if let Err(error) = Group::rejoin(engine, consumer) {
            engine.fail_group(format!("cannot subscribe again: {error}"));
        }
        (self.found, self.limit) = (0, limit());
    }
}

fn limit() -> u32 {
    fastrand::choice(LOOKS).unwrap_or_default()
}

/// The topics of the settings as they are.
#[derive(Default)]
struct Topics {
    missing: Vec<String>,
    partitions: Vec<TopicPartition>,
}

impl Topics {
    fn look(engine: &Engine, consumer: &Consumer) -> KafkaResult<Self> {
        let mut topics = Self::default();
        for topic in &engine.config.topics {
            if is_pattern(topic) {
                let pattern = pattern::compile(topic).ok();
                let all = consumer.fetch_metadata(None, ANSWER_TIMEOUT)?;
                for found in all.topics() {
                    if pattern.as_ref().is_some_and(|pattern| pattern.is_match(found.name())) {
                        topics.add(found);
                    }
                }
            } else {
                let named = consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
                named.topics().iter().for_each(|found| topics.add(found));
            }
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

    /// The partitions that no member reads; none while the members are not agreed.
    fn unread(
        &self,
        engine: &Engine,
        consumer: &Consumer,
    ) -> KafkaResult<Option<Vec<TopicPartition>>> {
        // With KIP-848 the broker assigns, and sees every change of a topic itself.
        let Config { group, group_protocol, .. } = &engine.config;
        if !engine.progress.is_member() || *group_protocol == GroupProtocol::Consumer {
            return Ok(None);
        }
        let groups = consumer.fetch_group_list(Some(group), ANSWER_TIMEOUT)?;
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
        let unread = self.partitions.iter().filter(|partition| !owned.contains(*partition));
        Ok(Some(unread.cloned().collect()))
    }
}
