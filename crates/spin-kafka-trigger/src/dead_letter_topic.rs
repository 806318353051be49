//! A dead-letter topic as operators see it: what lies in it, and sending it back.

use std::ops::ControlFlow;
use std::time::Duration;

use futures::executor::block_on;
use futures::future::try_join_all;
use rdkafka::Message as _;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::FutureProducer;
use rdkafka::{Offset, TopicPartitionList};

use crate::client_log::Plain;
use crate::{Config, Error, Header, Message, client_config, headers, offsets, record};

/// How long one question to the cluster may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Letters that are sent back before the mark moves.
const REPLAY_CHUNK: usize = 500;
/// Added to the group's name for the group whose offsets mark what was sent back.
const MARKS_SUFFIX: &str = ".dead-letters";

/// A dead-letter topic. Its methods block.
///
/// A letter is *open* until it is sent back. Which are open is kept in Kafka, as the offsets
/// of the group `<group>.dead-letters`.
pub struct DeadLetterTopic {
    config: Config,
    topic: String,
    consumer: BaseConsumer<Plain>,
}

/// A record that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its partition in the dead-letter topic.
    pub partition: i32,
    /// Whether it was not sent back yet.
    pub open: bool,
    /// Key, value and headers; the offset and the timestamp are the letter's.
    pub record: Message,
}

/// How many letters there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LetterCounts {
    /// All that the topic holds.
    pub all: u64,
    /// Those that were not sent back.
    pub open: u64,
}

/// The letters of one partition.
struct Pile {
    partition: i32,
    low: i64,
    /// The first open letter.
    mark: i64,
    high: i64,
}

impl DeadLetter {
    /// What a header says; the last one of that name counts.
    pub fn said(&self, name: &str) -> Option<&str> {
        let header = self.record.headers.iter().rfind(|header| header.name == name)?;
        std::str::from_utf8(header.value.as_deref()?).ok()
    }

    /// The record's own headers, without those that tell of the error.
    pub fn own_headers(&self) -> impl Iterator<Item = &Header> {
        let tells = |header: &Header| {
            headers::PREFIXES.iter().any(|prefix| header.name.starts_with(prefix))
        };
        self.record.headers.iter().filter(move |header| !tells(header))
    }
}

impl DeadLetterTopic {
    /// The letters of the config's group in this topic.
    pub fn open(config: &Config, topic: &str) -> Result<Self, Error> {
        let marks = Config { group: format!("{}{MARKS_SUFFIX}", config.group), ..config.clone() };
        let native = client_config::reader(&marks);
        let consumer = BaseConsumer::from_config_and_context(&native, Plain::new(config))
            .map_err(|error| Error::client(&config.brokers, &config.client, error))?;
        Ok(Self { config: config.clone(), topic: topic.into(), consumer })
    }

    /// How many letters there are, and how many are open.
    pub fn counts(&self) -> Result<LetterCounts, Error> {
        let mut counts = LetterCounts::default();
        for Pile { low, mark, high, .. } in self.piles()? {
            counts.all += high.saturating_sub(low).unsigned_abs();
            counts.open += high.saturating_sub(mark).unsigned_abs();
        }
        Ok(counts)
    }

    /// Shows every letter to `visit`, by partition and offset, until it breaks off.
    pub fn read(&self, mut visit: impl FnMut(DeadLetter) -> ControlFlow<()>) -> Result<(), Error> {
        for pile in self.piles()? {
            if self.read_pile(&pile, pile.low, |letter| Ok(visit(letter)))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Writes open letters back to the topics they came from, with key, value and their own
    /// headers, and marks them as sent back; at most `max`. Answers how many; `sent` hears of
    /// each number on the way. A crash in between may send up to 500 twice.
    pub fn replay(&self, max: u64, mut sent: impl FnMut(u64)) -> Result<u64, Error> {
        let native = client_config::producer(&self.config);
        let producer =
            FutureProducer::from_config_and_context(&native, Plain::new(&self.config))
                .map_err(|error| Error::client(&self.config.brokers, &self.config.client, error))?;
        let mut total = 0;
        for pile in self.piles()? {
            let mut chunk = Vec::new();
            let mut left = max - total;
            let read = self.read_pile(&pile, pile.mark, |letter| {
                if left == 0 {
                    return Ok(ControlFlow::Break(()));
                }
                left -= 1;
                chunk.push(letter);
                if chunk.len() == REPLAY_CHUNK {
                    total += self.send_back(&producer, &mut chunk)?;
                    sent(total);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            total += self.send_back(&producer, &mut chunk)?;
            sent(total);
            if read.is_break() {
                break;
            }
        }
        Ok(total)
    }

    fn send_back(
        &self,
        producer: &FutureProducer<Plain>,
        chunk: &mut Vec<DeadLetter>,
    ) -> Result<u64, Error> {
        let Some(last) = chunk.last() else { return Ok(0) };
        let (partition, next) = (last.partition, Offset::Offset(last.record.offset + 1));
        block_on(try_join_all(chunk.iter().map(|letter| self.send_one(producer, letter))))?;
        let mut mark = TopicPartitionList::new();
        mark.add_partition_offset(&self.topic, partition, next)
            .and_then(|()| self.consumer.commit(&mark, CommitMode::Sync))
            .map_err(|error| self.fault(&error))?;
        let count = chunk.len() as u64;
        chunk.clear();
        Ok(count)
    }

    async fn send_one(
        &self,
        producer: &FutureProducer<Plain>,
        letter: &DeadLetter,
    ) -> Result<(), Error> {
        let fault = |what: String| Error::DeadLetters {
            topic: self.topic.clone(),
            reason: format!("the letter at {}/{} {what}", letter.partition, letter.record.offset),
        };
        let Some(topic) = letter.said(headers::TOPIC) else {
            return Err(fault("does not say which topic it came from".into()));
        };
        let own = record::headers(letter.own_headers());
        record::write(producer, topic, letter.record.key.as_deref(), letter.record.value.as_deref(), own)
            .await
            .map_err(|error| fault(format!("cannot be written to topic {topic}: {error}")))
    }

    fn piles(&self) -> Result<Vec<Pile>, Error> {
        self.ask_piles().map_err(|error| self.fault(&error))
    }

    fn ask_piles(&self) -> KafkaResult<Vec<Pile>> {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), ANSWER_TIMEOUT)?;
        let topic = metadata.topics().first().ok_or(KafkaError::NoMessageReceived)?;
        if let Some(error) = topic.error() {
            return Err(KafkaError::MetadataFetch(error.into()));
        }
        let pile = |partition: i32| {
            let (low, high) =
                self.consumer.fetch_watermarks(&self.topic, partition, ANSWER_TIMEOUT)?;
            let marked =
                offsets::committed(&self.consumer, &self.topic, partition, ANSWER_TIMEOUT)?;
            let mark = marked.unwrap_or(low).clamp(low, high);
            Ok(Pile { partition, low, mark, high })
        };
        topic.partitions().iter().map(|partition| pile(partition.id())).collect()
    }

    fn read_pile(
        &self,
        pile: &Pile,
        from: i64,
        mut visit: impl FnMut(DeadLetter) -> Result<ControlFlow<()>, Error>,
    ) -> Result<ControlFlow<()>, Error> {
        let Pile { partition, mark, high, .. } = *pile;
        let mut next = from;
        if next < high {
            let mut assigned = TopicPartitionList::new();
            assigned
                .add_partition_offset(&self.topic, partition, Offset::Offset(from))
                .and_then(|()| self.consumer.assign(&assigned))
                .map_err(|error| self.fault(&error))?;
        }
        while next < high {
            let read = match self.consumer.poll(ANSWER_TIMEOUT) {
                Some(Ok(read)) if read.offset() < high => read,
                // Whatever is missing before was compacted away.
                Some(Ok(_)) | Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) => return Err(self.fault(&error)),
                None => return Err(self.fault(&KafkaError::NoMessageReceived)),
            };
            next = read.offset() + 1;
            let open = read.offset() >= mark;
            let letter = DeadLetter { partition, open, record: record::message(&read) };
            if visit(letter)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn fault(&self, error: &KafkaError) -> Error {
        Error::DeadLetters { topic: self.topic.clone(), reason: error.to_string() }
    }
}
