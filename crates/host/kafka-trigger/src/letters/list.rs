//! The newest open letters as JSON.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use printing::{is_plain, one_line};
use serde::Serialize;
use spin_kafka_trigger::{DeadLetter, DeadLetterTopic, Error, headers};

use super::LetterTopic;

/// The most letters of a list. With the limits below, a list has less than 1 MiB.
const LETTERS_MAX: usize = 100;
/// The most bytes of a value, a key and a reason that are shown.
const VALUE_BYTES_MAX: usize = 2_048;
const KEY_BYTES_MAX: usize = 256;
const REASON_BYTES_MAX: usize = 1_024;
/// The longest name of a topic in Kafka, and of a class.
const NAME_BYTES_MAX: usize = 249;
/// The most topics that are named because of a failure.
pub(super) const TOPICS_NAMED_MAX: usize = 100;

/// The newest open letters of all topics.
#[derive(Default, Serialize)]
pub(super) struct List {
    /// When it was read, and the time before which it is not read again.
    time_ms: u64,
    next_read_ms: u64,
    /// Whether letters may be sent back.
    replay: bool,
    /// The dead-letter topics that cannot be read.
    unreadable: Vec<String>,
    /// All letters, including those that were sent back.
    all: u64,
    /// The letters that were not sent back.
    open: u64,
    letters: Vec<Entry>,
}

/// One letter.
#[derive(Serialize)]
struct Entry {
    /// Where the letter is.
    topic: String,
    partition: i32,
    offset: i64,
    /// When it was written.
    time_ms: Option<i64>,
    /// Where the record was read from.
    source: Source,
    class: Option<String>,
    reason: Option<String>,
    key: Option<Content>,
    value: Option<Content>,
    /// The size of the record, if the letter was written without it.
    omitted_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Source {
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
}

/// The beginning of a key or a value.
#[derive(Serialize)]
struct Content {
    encoding: &'static str,
    data: String,
    /// The size of the whole content.
    bytes: usize,
    /// Whether `data` is only the beginning.
    truncated: bool,
}

/// Reads the newest open letters. It fails only if no topic can be read.
pub(super) fn read(topics: &[LetterTopic], replay: bool, deadline: Instant) -> Result<List, Error> {
    let mut list = List { replay, ..List::default() };
    let (mut failed, mut failure) = (0, None);
    for topic in topics {
        match list.add_topic(topic, deadline) {
            // A topic without letters need not exist.
            Ok(()) | Err(Error::LettersTopicMissing { .. }) => {}
            Err(error) => {
                tracing::warn!("the dead letters cannot be read: {error}");
                if list.unreadable.len() < TOPICS_NAMED_MAX {
                    list.unreadable.push(topic.name.clone());
                }
                failed += 1;
                failure = Some(error);
            }
        }
    }
    list.cut();
    match failure {
        Some(error) if failed == topics.len() => Err(error),
        _ => Ok(list),
    }
}

impl List {
    /// Whether all topics could be read.
    pub(super) fn is_complete(&self) -> bool {
        self.unreadable.is_empty()
    }

    /// The list as JSON. It is not read again for this time.
    pub(super) fn into_json(mut self, kept_for: Duration) -> Bytes {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.time_ms = ms(now);
        self.next_read_ms = ms(now + kept_for);
        // This cannot fail: strings and numbers are written to memory.
        serde_json::to_vec(&self).unwrap_or_default().into()
    }

    fn add_topic(&mut self, topic: &LetterTopic, deadline: Instant) -> Result<(), Error> {
        let LetterTopic { name, config } = topic;
        let topic = DeadLetterTopic::open(config, name)?.with_deadline(deadline);
        let survey = topic.survey()?;
        self.all += survey.counts().all;
        self.open += survey.counts().open;
        topic.read_open(&survey, |letter| self.add(Entry::new(name, &letter)))
    }

    fn add(&mut self, entry: Entry) {
        self.letters.push(entry);
        if self.letters.len() >= 2 * LETTERS_MAX {
            self.cut();
        }
    }

    /// Keeps the newest letters, the newest first.
    fn cut(&mut self) {
        self.letters.sort_by(|one, other| other.age_order().cmp(&one.age_order()));
        self.letters.truncate(LETTERS_MAX);
    }
}

impl Entry {
    fn new(topic: &str, letter: &DeadLetter) -> Self {
        let record = &letter.record;
        let text =
            |name, bytes_max| letter.header(name).map(|value| one_line(start(value, bytes_max)));
        let content =
            |bytes: &Option<Bytes>, max| bytes.as_deref().map(|bytes| Content::new(bytes, max));
        Self {
            topic: topic.into(),
            partition: letter.partition,
            offset: record.offset,
            time_ms: record.timestamp_ms,
            source: Source {
                topic: text(headers::TOPIC, NAME_BYTES_MAX),
                partition: letter.header(headers::PARTITION).and_then(|text| text.parse().ok()),
                offset: letter.header(headers::OFFSET).and_then(|text| text.parse().ok()),
            },
            class: text(headers::CLASS, NAME_BYTES_MAX),
            reason: text(headers::REASON, REASON_BYTES_MAX),
            key: content(&record.key, KEY_BYTES_MAX),
            value: content(&record.value, VALUE_BYTES_MAX),
            omitted_bytes: letter.header(headers::OMITTED_BYTES).and_then(|text| text.parse().ok()),
        }
    }

    fn age_order(&self) -> (Option<i64>, &str, i32, i64) {
        (self.time_ms, &self.topic, self.partition, self.offset)
    }
}

impl Content {
    /// Text is shown as text. Bytes that are not UTF-8, and control characters, are in base64.
    fn new(bytes: &[u8], bytes_max: usize) -> Self {
        let text = std::str::from_utf8(bytes).ok().map(|text| start(text, bytes_max));
        let (encoding, data) = match text {
            Some(text) if is_plain(text) => ("text", text.to_owned()),
            _ => {
                let shown = bytes.get(..bytes_max).unwrap_or(bytes);
                ("base64", STANDARD.encode(shown))
            }
        };
        Self { encoding, data, bytes: bytes.len(), truncated: bytes.len() > bytes_max }
    }
}

/// At most this many bytes of a text.
fn start(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use spin_kafka_trigger::{Header, Message};

    use super::*;

    fn letter(offset: i64, timestamp_ms: i64, value: &[u8]) -> DeadLetter {
        let header = |(name, value): (&str, &'static str)| Header {
            name: name.into(),
            value: Some(value.into()),
        };
        let all = [
            (headers::TOPIC, "sales"),
            (headers::PARTITION, "2"),
            (headers::OFFSET, "41"),
            (headers::CLASS, "rejected"),
            (headers::REASON, "precio:\nmust be a number"),
        ];
        let record = Message {
            offset,
            timestamp_ms: Some(timestamp_ms),
            key: None,
            value: Some(value.to_vec().into()),
            headers: all.map(header).into(),
        };
        DeadLetter { partition: 0, open: true, record }
    }

    #[test]
    fn a_letter_names_its_source_and_its_reason() {
        let entry = Entry::new("sales.dead-letter", &letter(7, 1_000, b"ma\xc3\xb1ana"));
        let expected = json!({
            "topic": "sales.dead-letter", "partition": 0, "offset": 7, "time_ms": 1_000,
            "source": {"topic": "sales", "partition": 2, "offset": 41},
            "class": "rejected", "reason": "precio: must be a number", "key": null,
            "value": {"encoding": "text", "data": "mañana", "bytes": 7, "truncated": false},
            "omitted_bytes": null,
        });
        assert_eq!(serde_json::to_value(entry).unwrap(), expected);
    }

    #[test]
    fn long_and_binary_contents_are_cut() {
        let content = |bytes: &[u8], bytes_max| {
            let Content { encoding, data, bytes, truncated } = Content::new(bytes, bytes_max);
            (encoding, data, bytes, truncated)
        };
        assert_eq!(content("ñññ".as_bytes(), 3), ("text", "ñ".into(), 6, true));
        assert_eq!(content(b"\xff\xfe\xfd", 2), ("base64", "//4=".into(), 3, true));
        assert_eq!(content(b"a\x1bb", 9), ("base64", "YRti".into(), 3, false));
        assert_eq!(content(b"", 9), ("text", String::new(), 0, false));
    }

    #[test]
    fn a_list_has_the_newest_letters_within_its_limits() {
        let unreadable = vec!["t".repeat(NAME_BYTES_MAX); TOPICS_NAMED_MAX];
        let mut list = List { unreadable, ..List::default() };
        // The letter with the offset 0 is the newest one.
        for offset in 0..1_000 {
            let entry = letter(offset, 1_000 - offset, "\"".repeat(1 << 20).as_bytes());
            let mut entry = Entry::new(&"t".repeat(NAME_BYTES_MAX), &entry);
            entry.reason = Some("\"".repeat(REASON_BYTES_MAX));
            entry.key = Some(Content::new("\"".repeat(KEY_BYTES_MAX).as_bytes(), KEY_BYTES_MAX));
            list.add(entry);
        }
        list.cut();
        let offsets: Vec<_> = list.letters.iter().map(|entry| entry.offset).collect();
        assert_eq!(offsets, Vec::from_iter(0..LETTERS_MAX as i64));
        let size = serde_json::to_vec(&list).unwrap().len();
        assert!(size < 1 << 20, "{size}");
    }
}
