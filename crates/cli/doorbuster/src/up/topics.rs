//! Creates the topics that the triggers read and write, and those for their dead letters.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use host_producer::{Error, NewTopic, RECORD_BYTES, TopicAdmin, TopicState};
use kafka_trigger::TriggerConfig;
use spin_kafka_trigger::{FailedRecords, is_pattern};

/// Number of partitions of a topic that is created.
const PARTITIONS: i32 = 3;
/// Number of partitions of a dead-letter topic that is created: with one, the letters keep the
/// order in which they were written.
const DEAD_LETTER_PARTITIONS: i32 = 1;
/// Space for the headers that a dead letter has in addition to its record.
const DEAD_LETTER_HEADERS_BYTES: u64 = 64 * 1024;
/// The longest letter if the longest record of the topics is not known: twice Kafka's default.
const DEAD_LETTER_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// The pause before brokers that did not answer are queried again.
const PAUSE: Duration = Duration::from_secs(5);

/// A topic that a trigger needs.
pub struct Needed {
    pub name: String,
    pub partitions: i32,
    /// The topics whose dead letters are written to it; `None` if it is a topic that is read or
    /// written.
    letters_of: Option<Vec<String>>,
}

/// The topics that the trigger reads and writes, and those for its dead letters. A pattern names no
/// topic.
pub fn needed(trigger: &TriggerConfig) -> Vec<Needed> {
    let engine = &trigger.engine;
    let named = engine.topics.iter().filter(|topic| !is_pattern(topic));
    let mut needed = Vec::new();
    let mut letters_of = BTreeMap::<String, Vec<String>>::new();
    for topic in named {
        needed.push(Needed { name: topic.clone(), partitions: PARTITIONS, letters_of: None });
        let letters = engine.dead_letter_topic_of(topic).into_owned();
        letters_of.entry(letters).or_default().push(topic.clone());
    }
    for name in engine.output_topics.iter().cloned() {
        needed.push(Needed { name, partitions: PARTITIONS, letters_of: None });
    }
    if !engine.dead_letter_topic.is_empty() {
        letters_of.entry(engine.dead_letter_topic.clone()).or_default();
    }
    if engine.failed_records == FailedRecords::DeadLetter {
        needed.extend(letters_of.into_iter().map(|(name, topics)| Needed {
            name,
            partitions: DEAD_LETTER_PARTITIONS,
            letters_of: Some(topics),
        }));
    }
    needed
}

/// Creates the topics of the triggers that are missing. Returns the triggers whose brokers do not
/// answer.
pub async fn ensure_all(triggers: &[TriggerConfig]) -> Result<Vec<TriggerConfig>> {
    let mut later = Vec::new();
    for trigger in triggers {
        match ensure(trigger).await {
            Ok(()) => {}
            Err(error) if is_transient(&error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "topics not found; starting without them");
                later.push(trigger.clone());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(later)
}

/// Creates the topics of the trigger that are missing.
async fn ensure(trigger: &TriggerConfig) -> Result<()> {
    let cluster = TopicAdmin::new(&trigger.producer())?;
    for Needed { name, partitions, letters_of } in needed(trigger) {
        match letters_of {
            None => drop(create(&cluster, NewTopic::new(&name, partitions)).await?),
            Some(topics) => ensure_dead_letter_topic(&cluster, &name, &topics).await?,
        }
    }
    Ok(())
}

/// Creates the topics of the triggers that are missing, and retries until the brokers answer.
pub async fn ensure_later(triggers: Vec<TriggerConfig>) {
    for trigger in &triggers {
        while let Err(error) = ensure(trigger).await {
            let pause_s = PAUSE.as_secs();
            tracing::warn!(error = format!("{error:#}"), pause_s, "topics not found; trying again");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Whether the error is transient.
fn is_transient(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref().is_some_and(Error::is_retriable))
}

/// Creates a dead-letter topic. A dead letter is its record with additional headers, so its topic
/// must accept longer records than the topics of the records.
async fn ensure_dead_letter_topic(
    cluster: &TopicAdmin,
    name: &str,
    sources: &[String],
) -> Result<()> {
    let mut longest = None;
    for topic in sources {
        longest = longest.max(cluster.record_bytes_max(topic).await);
    }
    let wanted = longest
        .map_or(DEAD_LETTER_BYTES_MAX, |bytes| bytes.saturating_add(DEAD_LETTER_HEADERS_BYTES))
        .min(u64::from(i32::MAX.unsigned_abs()));
    let settings: &[(&str, &str)] = &[(RECORD_BYTES, &wanted.to_string())];
    let partitions = DEAD_LETTER_PARTITIONS;
    let state = create(cluster, NewTopic { name, partitions, settings }).await?;
    if !matches!(state, TopicState::Exists) {
        return Ok(());
    }
    let most = cluster.record_bytes_max(name).await;
    if longest.is_some() && most.is_some_and(|most| most < wanted) {
        tracing::warn!(
            dead_letter_topic = name,
            max_message_bytes = most,
            wanted,
            "the dead-letter topic takes shorter records than the topic that is read: letters of \
             long records are written without them. Raise its max.message.bytes"
        );
    }
    Ok(())
}

async fn create(cluster: &TopicAdmin, topic: NewTopic<'_>) -> Result<TopicState> {
    let state = cluster.ensure(topic).await?;
    if matches!(state, TopicState::Created) {
        tracing::info!(topic = topic.name, partitions = topic.partitions, "topic created");
    }
    Ok(state)
}
