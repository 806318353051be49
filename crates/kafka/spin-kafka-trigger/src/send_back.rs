//! Sends the letters of a dead-letter topic back to the topics that they came from.

use std::collections::HashMap;
use std::ops::ControlFlow;

use futures::executor::block_on;
use futures::future::join_all;
use kafka_client::BasicContext;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;

use crate::dead_letter_topic::{PartitionLetters, SENT_BACK};
use crate::marks::Marks;
use crate::refusal::{advice, is_refusal};
use crate::{DeadLetter, DeadLetterTopic, Error, Survey, client_config, headers, record, topics};

/// The most letters that are sent before they are marked.
const CHUNK_LETTERS: usize = 100;
/// The most bytes of letters that are sent before they are marked. A larger letter is sent alone.
const CHUNK_BYTES: usize = 16 * 1024 * 1024;
/// The header by which a component recognizes a record that it has already processed.
const IDENTITY: &str = "idempotency-key";

/// The result for some of the open letters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SentBack {
    /// This many more letters were written to their topics and marked.
    Sent(u64),
    /// This letter was not sent, and remains open.
    Left {
        /// The partition of the letter in the dead-letter topic.
        partition: i32,
        /// The offset of the letter in the dead-letter topic.
        offset: i64,
        /// The reason, and what an operator can do about it.
        reason: String,
    },
}

/// How many letters one run may send back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayLimits {
    /// The most letters that are sent back.
    pub sent_max: u64,
    /// The most letters that are tried: those that are sent back, and those that cannot be sent.
    pub tried_max: u64,
}

/// One run that sends letters back.
struct Run<'a, F> {
    topic: &'a DeadLetterTopic,
    producer: FutureProducer<BasicContext>,
    /// The topics that the letters came from. The value is the reason why the topic accepts no
    /// letters, if it does not.
    targets: HashMap<String, Option<String>>,
    /// The partition in which markers are known to be accepted.
    markable: Option<i32>,
    limits: ReplayLimits,
    /// The letters that were sent back.
    sent: u64,
    /// The letters that were tried.
    tried: u64,
    report: F,
}

impl DeadLetterTopic {
    /// Writes open letters, in the order of partition and offset, back to the topics that they came
    /// from, with key, value and the record's own headers. Then it marks them as sent back and calls
    /// `report`.
    ///
    /// A letter that cannot be sent remains open, and `report` gets the reason; the others are
    /// sent. If the process ends before a marker is written, up to 100 letters have been sent
    /// without a mark, and the next run sends them again. A record without an `idempotency-key`
    /// header gets one that names its original position in the log, so that a component can
    /// recognize such a duplicate.
    pub fn replay(
        &self,
        survey: &Survey,
        limits: ReplayLimits,
        report: impl FnMut(SentBack),
    ) -> Result<(), Error> {
        if limits.sent_max == 0 || limits.tried_max == 0 {
            return Ok(());
        }
        let context = BasicContext::new(self.config.tokens());
        let producer = match self.deadline {
            Some(_) => client_config::bounded_producer(&self.config),
            None => client_config::producer(&self.config),
        };
        let mut run = Run {
            topic: self,
            producer: producer.create(context)?,
            targets: HashMap::new(),
            markable: None,
            limits,
            sent: 0,
            tried: 0,
            report,
        };
        survey.partitions.iter().try_for_each(|letters| run.send_partition(letters))
    }
}

impl<F: FnMut(SentBack)> Run<'_, F> {
    fn send_partition(&mut self, letters: &PartitionLetters) -> Result<(), Error> {
        let (topic, first) = (self.topic, letters.marks.first_outside(letters.low));
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        topic.read_letters(letters, first, |letter| {
            // Letters of the chunk may be refused, and then further ones are sent instead.
            if self.sent + chunk.len() as u64 >= self.limits.sent_max {
                self.send_chunk(letters.partition, std::mem::take(&mut chunk))?;
                bytes = 0;
            }
            if self.sent >= self.limits.sent_max || self.tried >= self.limits.tried_max {
                return Ok(ControlFlow::Break(()));
            }
            if !letter.open {
                return Ok(ControlFlow::Continue(()));
            }
            self.tried += 1;
            if !self.can_be_sent(&letter)? {
                return Ok(ControlFlow::Continue(()));
            }
            let size = letter.record.content_bytes();
            if chunk.len() >= CHUNK_LETTERS || (bytes + size > CHUNK_BYTES && bytes > 0) {
                self.send_chunk(letters.partition, std::mem::take(&mut chunk))?;
                bytes = 0;
            }
            bytes += size;
            chunk.push(letter);
            Ok(ControlFlow::Continue(()))
        })?;
        self.send_chunk(letters.partition, chunk)
    }

    /// Sends the letters, then marks those that were acknowledged.
    fn send_chunk(&mut self, partition: i32, chunk: Vec<DeadLetter>) -> Result<(), Error> {
        if chunk.is_empty() {
            return Ok(());
        }
        // After the deadline no further letters are sent.
        self.topic.answer_timeout()?;
        // Letters that cannot be marked would be sent again in every run, so this is checked before
        // they are sent.
        if self.markable != Some(partition) {
            self.mark(partition, &Marks::default())?;
            self.markable = Some(partition);
        }
        let sent = block_on(join_all(chunk.iter().map(|letter| self.send(letter))));
        let (mut marks, mut count, mut failed) = (Marks::default(), 0, None);
        for (letter, sent) in chunk.iter().zip(sent) {
            match sent {
                Ok(()) => {
                    marks.add(letter.record.offset);
                    count += 1;
                }
                Err(error) if is_refusal(&error) => {
                    let topic = letter.header(headers::TOPIC).unwrap_or_default();
                    let reason = format!("topic {topic} refuses it: {error}; {}", advice(&error));
                    self.leave_open(letter, reason);
                }
                Err(error) => failed = Some(error),
            }
        }
        if count > 0 {
            self.mark(partition, &marks).map_err(|error| Error::LettersUnmarked {
                topic: self.topic.topic.clone(),
                reason: format!(
                    "{count} letters of partition {partition} were sent back, but they could not \
                     be marked; the next replay sends them again: {error}"
                ),
            })?;
            self.sent += count;
            (self.report)(SentBack::Sent(count));
        }
        match failed {
            Some(error) => Err(Error::LettersUnmarked {
                topic: self.topic.topic.clone(),
                reason: format!(
                    "letters were not acknowledged; they may have been written, but they \
                     remain open: {error}; {}",
                    advice(&error)
                ),
            }),
            None => Ok(()),
        }
    }

    async fn send(&self, letter: &DeadLetter) -> Result<(), KafkaError> {
        let topic = letter.header(headers::TOPIC).unwrap_or_default();
        let mut own = record::headers(letter.own_headers());
        if !letter.own_headers().any(|header| &*header.name == IDENTITY) {
            own = own.insert(Header { key: IDENTITY, value: Some(&identity(letter)) });
        }
        let (key, value) = (letter.record.key.as_deref(), letter.record.value.as_deref());
        record::write(&self.producer, topic, key, value, own).await
    }

    /// Writes a marker to the partition of the letters.
    fn mark(&self, partition: i32, marks: &Marks) -> Result<(), Error> {
        let header = Header { key: SENT_BACK, value: Some(&marks.list()) };
        let marker = FutureRecord::<(), ()>::to(&self.topic.topic)
            .partition(partition)
            .headers(OwnedHeaders::new().insert(header));
        let written = block_on(self.producer.send(marker, Timeout::Never));
        written.map(drop).map_err(|(error, _)| Error::DeadLetters {
            topic: self.topic.topic.clone(),
            reason: format!("cannot mark letters as sent back: {error}; {}", advice(&error)),
        })
    }

    /// Whether the letter can be sent, as far as this can be determined in advance.
    fn can_be_sent(&mut self, letter: &DeadLetter) -> Result<bool, Error> {
        let Some(topic) = letter.header(headers::TOPIC) else {
            let reason = format!("it has no header {}, which names its topic", headers::TOPIC);
            self.leave_open(letter, reason);
            return Ok(false);
        };
        if letter.header(headers::OMITTED_BYTES).is_some() {
            self.leave_open(letter, omitted_record(letter, topic));
            return Ok(false);
        }
        if topic == self.topic.topic {
            self.leave_open(letter, format!("it came from {topic} itself"));
            return Ok(false);
        }
        if !self.targets.contains_key(topic) {
            let refused = self.refusal(topic)?;
            self.targets.insert(topic.to_owned(), refused);
        }
        match self.targets.get(topic).cloned().flatten() {
            Some(reason) => {
                self.leave_open(letter, reason);
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// Why a topic accepts no letters, if the metadata shows it.
    fn refusal(&self, topic: &str) -> Result<Option<String>, Error> {
        let refused = |code: RDKafkaErrorCode| {
            let error = KafkaError::MetadataFetch(code);
            Ok(Some(format!("topic {topic}: {error}; {}", advice(&error))))
        };
        if !topics::is_topic_name(topic) {
            return refused(RDKafkaErrorCode::InvalidTopic);
        }
        let timeout = self.topic.answer_timeout()?;
        let metadata = self.topic.consumer.fetch_metadata(Some(topic), timeout);
        let metadata = metadata.map_err(|error| self.topic.error(&error))?;
        let found = metadata.topics().first();
        match found.and_then(|topic| topic.error()).map(RDKafkaErrorCode::from) {
            Some(code) if is_refusal(&KafkaError::MetadataFetch(code)) => refused(code),
            _ => Ok(None),
        }
    }

    fn leave_open(&mut self, letter: &DeadLetter, reason: String) {
        let (partition, offset) = (letter.partition, letter.record.offset);
        (self.report)(SentBack::Left { partition, offset, reason });
    }
}

/// The record's original position in the log, and its timestamp. The timestamp distinguishes it
/// from a record at the same position after the topic was created again.
fn identity(letter: &DeadLetter) -> String {
    let header = |name| letter.header(name).unwrap_or("-");
    let (topic, partition) = (header(headers::TOPIC), header(headers::PARTITION));
    let (offset, timestamp) = (header(headers::OFFSET), header(headers::TIMESTAMP));
    format!("{topic}/{partition}@{offset}/{timestamp}")
}

fn omitted_record(letter: &DeadLetter, topic: &str) -> String {
    let header = |name| letter.header(name).unwrap_or("-");
    let (partition, offset) = (header(headers::PARTITION), header(headers::OFFSET));
    format!(
        "it was written without its record of {} bytes, which the dead-letter topic did not \
         accept; the record is at {topic}/{partition}@{offset} until that topic deletes it",
        header(headers::OMITTED_BYTES)
    )
}
