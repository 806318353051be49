//! The contents of a dead-letter topic, for operators.

use std::fmt;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use kafka_client::BasicContext;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::content::ContentBuffer;
use crate::marks::Marks;
use crate::native::FetchedRecord;
use crate::{Config, Error, Header, Message, client_config, headers};

/// How long one request to the cluster may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes that the client that reads letters queues, unless `queue_bytes_max` is lower.
const READER_QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Suffix of the group id of the client that reads letters. The client never joins that group and
/// commits nothing.
const READER_SUFFIX: &str = ".dead-letters";
/// The header of a marker: the offsets of letters in the marker's partition that were sent back.
pub(crate) const SENT_BACK: &str = "spin-kafka.sent-back";

/// A dead-letter topic. Its methods block.
///
/// A letter is *open* until it is sent back. A *marker*, a record of the same topic without key and
/// value, lists in its header `spin-kafka.sent-back` the offsets of letters of its partition that
/// were sent back. It is written after those letters, so retention does not delete it before them.
pub struct DeadLetterTopic {
    pub(crate) config: Config,
    pub(crate) topic: String,
    pub(crate) consumer: BaseConsumer<BasicContext>,
    pub(crate) deadline: Option<Instant>,
}

/// A record that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The partition of the letter in the dead-letter topic.
    pub partition: i32,
    /// Whether the letter has not been sent back yet.
    pub open: bool,
    /// Key, value and headers. The offset and the timestamp are those of the letter, not of the
    /// original record.
    pub record: Message,
}

/// How many letters there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LetterCounts {
    /// All letters in the topic.
    pub all: u64,
    /// The letters that have not been sent back.
    pub open: u64,
}

/// The contents of a dead-letter topic at one point in time.
#[derive(Debug)]
pub struct Survey {
    pub(crate) partitions: Vec<PartitionLetters>,
    counts: LetterCounts,
}

/// The letters of one partition.
#[derive(Debug)]
pub(crate) struct PartitionLetters {
    pub partition: i32,
    /// The lowest offset.
    pub low: i64,
    /// The offset after the last record.
    pub high: i64,
    /// The letters that were sent back.
    pub marks: Marks,
}

impl DeadLetter {
    /// The value of the header of this name, if it is UTF-8; the last one, if there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.record.headers.iter().rfind(|header| &*header.name == name)?;
        std::str::from_utf8(header.value.as_deref()?).ok()
    }

    /// The headers of the original record, without those that describe the error.
    pub fn own_headers(&self) -> impl Iterator<Item = &Header> {
        let describes = |header: &Header| {
            headers::PREFIXES.iter().any(|prefix| header.name.starts_with(prefix))
        };
        self.record.headers.iter().filter(move |header| !describes(header))
    }
}

impl Survey {
    /// How many letters there were, and how many of them were open.
    pub fn counts(&self) -> LetterCounts {
        self.counts
    }
}

impl fmt::Debug for DeadLetterTopic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DeadLetterTopic")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

impl DeadLetterTopic {
    /// Opens the dead-letter topic `topic` with the client settings of `config`.
    pub fn open(config: &Config, topic: &str) -> Result<Self, Error> {
        let reader = Config {
            group: format!("{}{READER_SUFFIX}", config.group),
            queue_bytes_max: config.queue_bytes_max.min(READER_QUEUE_BYTES_MAX),
            ..config.clone()
        };
        let context = BasicContext::new(config.tokens());
        let consumer = client_config::reader(&reader).create(context)?;
        Ok(Self { config: config.clone(), topic: topic.into(), consumer, deadline: None })
    }

    /// Limits the time: after the deadline, no letter is read and nothing is queried, and the
    /// methods fail with [`Error::LettersTimedOut`]. Letters that are being sent back at the deadline
    /// are still marked.
    pub fn with_deadline(self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Reads the whole topic and determines which letters are open.
    pub fn survey(&self) -> Result<Survey, Error> {
        let mut partitions = self.partitions()?;
        let mut counts = LetterCounts::default();
        for letters in &mut partitions {
            let (low, high) = (letters.low, letters.high);
            let (mut count, mut marks) = (0_u64, Marks::default());
            self.read_records(letters, low, |record| {
                match marks_of(&record) {
                    // A marker lists only letters that were written before it.
                    Some(listed) => marks.merge(&listed, record.offset),
                    None => count += 1,
                }
                Ok(ControlFlow::Continue(()))
            })?;
            counts.all += count;
            counts.open += count.saturating_sub(marks.count_within(low, high));
            letters.marks = marks;
        }
        Ok(Survey { partitions, counts })
    }

    /// Calls `visit` for each letter in the order of partition and offset, until `visit` returns
    /// `Break`.
    pub fn read(&self, mut visit: impl FnMut(DeadLetter) -> ControlFlow<()>) -> Result<(), Error> {
        let mut flow = ControlFlow::Continue(());
        for letters in &self.survey()?.partitions {
            if flow.is_continue() {
                self.read_letters(letters, letters.low, |letter| {
                    flow = visit(letter);
                    Ok(flow)
                })?;
            }
        }
        Ok(())
    }

    /// Calls `visit` for each letter that is open according to the survey, in the order of partition
    /// and offset.
    pub fn read_open(
        &self,
        survey: &Survey,
        mut visit: impl FnMut(DeadLetter),
    ) -> Result<(), Error> {
        for letters in &survey.partitions {
            self.read_letters(letters, letters.marks.first_outside(letters.low), |letter| {
                if letter.open {
                    visit(letter);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(())
    }

    /// Reads the letters of one partition, beginning at an offset.
    pub(crate) fn read_letters(
        &self,
        letters: &PartitionLetters,
        from: i64,
        mut visit: impl FnMut(DeadLetter) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        self.read_records(letters, from, |record| {
            if marks_of(&record).is_some() {
                return Ok(ControlFlow::Continue(()));
            }
            let open = !letters.marks.contains(record.offset);
            visit(DeadLetter { partition: letters.partition, open, record })
        })
    }

    fn partitions(&self) -> Result<Vec<PartitionLetters>, Error> {
        let failed = |error: KafkaError| self.error(&error);
        if let Some(tokens) = self.config.tokens() {
            // The client is polled only while it reads records.
            let given = tokens.authenticate(self.consumer.client(), self.answer_timeout()?);
            given.map_err(|error| Error::DeadLetters {
                topic: self.topic.clone(),
                reason: error.to_string(),
            })?;
        }
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), self.answer_timeout()?);
        let metadata = metadata.map_err(failed)?;
        let topic =
            metadata.topics().first().ok_or_else(|| failed(KafkaError::NoMessageReceived))?;
        match topic.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(
                code @ (RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition),
            ) => {
                return Err(Error::LettersTopicMissing {
                    topic: self.topic.clone(),
                    reason: KafkaError::MetadataFetch(code).to_string(),
                });
            }
            Some(code) => return Err(failed(KafkaError::MetadataFetch(code))),
        }
        let letters = |partition: i32| {
            let timeout = self.answer_timeout()?;
            let watermarks = self.consumer.fetch_watermarks(&self.topic, partition, timeout);
            let (low, high) = watermarks.map_err(failed)?;
            Ok(PartitionLetters { partition, low, high, marks: Marks::default() })
        };
        topic.partitions().iter().map(|partition| letters(partition.id())).collect()
    }

    fn read_records(
        &self,
        letters: &PartitionLetters,
        from: i64,
        mut visit: impl FnMut(Message) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        let PartitionLetters { partition, high, .. } = *letters;
        let mut content = ContentBuffer::default();
        let mut next = from;
        if next < high {
            self.assign(partition, from).map_err(|error| self.error(&error))?;
        }
        while next < high {
            let read = match self.consumer.poll(self.answer_timeout()?) {
                Some(Ok(read)) if read.offset() < high => read,
                // Offsets that are missing before this one were compacted away.
                Some(Ok(_)) | Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) => return Err(self.error(&error)),
                None => {
                    self.answer_timeout()?;
                    return Err(self.error(&KafkaError::NoMessageReceived));
                }
            };
            next = read.offset() + 1;
            if visit(FetchedRecord::from(&read).to_message(&mut content))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Assigns the partition to the client, beginning at an offset. The records that were fetched
    /// for an earlier assignment are dropped: an end-of-partition event of that assignment would
    /// end the new read too early.
    fn assign(&self, partition: i32, from: i64) -> KafkaResult<()> {
        self.consumer.unassign()?;
        while self.consumer.poll(Duration::ZERO).is_some() {}
        let mut assigned = TopicPartitionList::new();
        assigned.add_partition_offset(&self.topic, partition, Offset::Offset(from))?;
        self.consumer.assign(&assigned)
    }

    /// How long the next request to the cluster may take.
    pub(crate) fn answer_timeout(&self) -> Result<Duration, Error> {
        let Some(deadline) = self.deadline else { return Ok(ANSWER_TIMEOUT) };
        match deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(Error::LettersTimedOut { topic: self.topic.clone() }),
            left => Ok(left.min(ANSWER_TIMEOUT)),
        }
    }

    pub(crate) fn error(&self, error: &KafkaError) -> Error {
        Error::DeadLetters { topic: self.topic.clone(), reason: error.to_string() }
    }
}

/// The offsets that a marker lists; `None` if the record is a letter.
pub(crate) fn marks_of(record: &Message) -> Option<Marks> {
    match record.headers.as_slice() {
        [header]
            if &*header.name == SENT_BACK && record.key.is_none() && record.value.is_none() =>
        {
            let list = std::str::from_utf8(header.value.as_deref()?).ok()?;
            Marks::parse(list)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(headers: &[(&str, &str)], value: Option<&str>) -> Message {
        let header = |(name, value): &(&str, &str)| Header {
            name: (*name).into(),
            value: Some(value.as_bytes().to_vec().into()),
        };
        Message {
            offset: 9,
            timestamp_ms: None,
            key: None,
            value: value.map(|value| value.as_bytes().to_vec().into()),
            headers: headers.iter().map(header).collect(),
        }
    }

    #[test]
    fn a_marker_is_distinguished_from_a_letter() {
        let marker = marks_of(&record(&[(SENT_BACK, "1-3")], None)).unwrap();
        assert_eq!(marker.list(), "1-3");
        assert!(marks_of(&record(&[(SENT_BACK, "")], None)).is_some(), "a marker without offsets");
        // A record with a value is a letter even if it has such a header.
        assert!(marks_of(&record(&[(SENT_BACK, "1-3")], Some("value"))).is_none());
        assert!(marks_of(&record(&[(SENT_BACK, "1-3"), (headers::CLASS, "trap")], None)).is_none());
        assert!(marks_of(&record(&[(SENT_BACK, "all")], None)).is_none());
        assert!(marks_of(&record(&[], None)).is_none());
    }
}
