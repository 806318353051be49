//! The topics that the triggers read, and those of their dead letters.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use host_producer::{
    Error, NewTopic, ProducerConfig, RECORD_BYTES, TopicState, ensure_topic, record_bytes_max,
};
use spin_kafka_trigger::{FailedRecords, is_pattern};
use trigger_kafka::TriggerConfig;

use super::embedded::EmbeddedKafka;

/// Partitions of a topic that is missing.
const PARTITIONS: i32 = 3;
/// Of a dead-letter topic that is missing: letters keep the order they were written in.
const DEAD_LETTER_PARTITIONS: i32 = 1;
/// Room for what a dead letter's headers say besides its record.
const DEAD_LETTER_HEADERS_BYTES: u64 = 64 * 1024;
/// Longest letter of topics whose longest record is not known: twice Kafka's default.
const DEAD_LETTER_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// The pause before brokers that did not answer are asked again.
const PAUSE: Duration = Duration::from_secs(5);

/// The topics on the embedded broker, or on those that a trigger names.
pub struct Topics<'a, E> {
    pub embedded: Option<&'a E>,
}

/// A broker that is told of its topics in a way of its own.
pub trait Embedded {
    fn create_topic(&self, name: &str, partitions: i32) -> Result<()>;
}

impl Embedded for EmbeddedKafka {
    fn create_topic(&self, name: &str, partitions: i32) -> Result<()> {
        Self::create_topic(self, name, partitions)
    }
}

/// There is no embedded broker.
enum Nowhere {}

impl Embedded for Nowhere {
    fn create_topic(&self, _: &str, _: i32) -> Result<()> {
        match *self {}
    }
}

/// Whether brokers may answer otherwise later.
pub fn is_passing(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref().is_some_and(Error::is_retriable))
}

/// Makes these triggers' topics once their brokers answer.
pub async fn ensure_later(triggers: Vec<TriggerConfig>) {
    for trigger in &triggers {
        while let Err(error) = (Topics::<Nowhere> { embedded: None }).ensure_all(trigger).await {
            let pause_s = PAUSE.as_secs();
            tracing::warn!(error = format!("{error:#}"), pause_s, "topics not found; trying again");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl<E: Embedded> Topics<'_, E> {
    /// Makes the trigger's topics, and those for its dead letters, if they are missing.
    pub async fn ensure_all(&self, trigger: &TriggerConfig) -> Result<()> {
        let engine = &trigger.engine;
        let cluster = trigger.producer();
        let named = engine.topics.iter().filter(|topic| !is_pattern(topic));
        let mut for_letters = BTreeMap::<String, Vec<&str>>::new();
        for topic in named {
            self.ensure(&cluster, NewTopic::new(topic, PARTITIONS)).await?;
            let letters = engine.dead_letter_topic(topic).into_owned();
            for_letters.entry(letters).or_default().push(topic);
        }
        if !engine.dead_letter_topic.is_empty() {
            for_letters.entry(engine.dead_letter_topic.clone()).or_default();
        }
        if engine.failed_records == FailedRecords::DeadLetter {
            for (name, sources) in &for_letters {
                self.ensure_dead_letter_topic(&cluster, name, sources).await?;
            }
        }
        Ok(())
    }

    /// A dead letter is its record and some headers: it must fit where the record did.
    async fn ensure_dead_letter_topic(
        &self,
        cluster: &ProducerConfig,
        name: &str,
        sources: &[&str],
    ) -> Result<()> {
        let partitions = DEAD_LETTER_PARTITIONS;
        if let Some(kafka) = self.embedded {
            return kafka.create_topic(name, partitions);
        }
        let mut longest = None;
        for topic in sources {
            longest = longest.max(record_bytes_max(cluster, topic).await?);
        }
        let wanted = longest
            .map_or(DEAD_LETTER_BYTES_MAX, |bytes| bytes.saturating_add(DEAD_LETTER_HEADERS_BYTES))
            .min(u64::from(i32::MAX.unsigned_abs()));
        let settings: &[(&str, &str)] = &[(RECORD_BYTES, &wanted.to_string())];
        match self.ensure(cluster, NewTopic { name, partitions, settings }).await? {
            TopicState::Created => {}
            TopicState::Exists => {
                let most = record_bytes_max(cluster, name).await?;
                if longest.is_some() && most.is_some_and(|most| most < wanted) {
                    tracing::warn!(
                        dead_letter_topic = name,
                        max_message_bytes = most,
                        wanted,
                        "the dead-letter topic takes shorter records than the topic that is read: \
                         letters of long records are written without them. Raise its \
                         max.message.bytes"
                    );
                }
            }
        }
        Ok(())
    }

    async fn ensure(&self, cluster: &ProducerConfig, topic: NewTopic<'_>) -> Result<TopicState> {
        if let Some(kafka) = self.embedded {
            kafka.create_topic(topic.name, topic.partitions)?;
            return Ok(TopicState::Exists);
        }
        let state = ensure_topic(cluster, topic).await?;
        if matches!(state, TopicState::Created) {
            tracing::info!(topic = topic.name, partitions = topic.partitions, "topic created");
        }
        Ok(state)
    }
}
