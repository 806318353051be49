//! The headers of a dead letter.
//!
//! Input: a line each for the topic, the consumer group and the reason; a line `name=value` for
//! each header of the record; an empty line; the record's value.

use bytes::Bytes;
use spin_kafka_trigger::decoders::{letter_headers, marker};
use spin_kafka_trigger::{Batch, DeadLetter, FailureClass, Header, Message, headers};

use crate::lines;

/// Maximum number of bytes that a letter adds to its record, besides the names of topic and group.
const ADDED_BYTES_MAX: usize = 6 << 10;

/// Checks an input.
pub fn check(mut bytes: &[u8]) {
    let [topic, group, reason] =
        [(); 3].map(|()| String::from_utf8_lossy(lines::line(&mut bytes)).into_owned());
    let headers: Vec<Header> = lines::block(&mut bytes).into_iter().map(header).collect();
    let key = headers.first().and_then(|header| header.value.clone());
    let value = Some(Bytes::copy_from_slice(bytes));
    let record = Message { offset: 7, timestamp_ms: Some(11), key, value, headers };
    let batch = batch(&topic);
    let [whole, alone] = letter_headers(&batch, &record, FailureClass::Trap, &reason, &group);

    let added = size(&whole) - size(&record.headers);
    assert!(added <= ADDED_BYTES_MAX + 4 * topic.len() + 4 * group.len(), "{added}");
    let whole = letter(&record, whole);
    check_said(&whole, &topic, &group, &reason);
    let read = letter(&record, record.headers.clone());
    assert!(whole.own_headers().eq(read.own_headers()), "the record's own headers");
    assert!(marker(&whole.record).is_none(), "a letter is no marker");

    let alone = letter(&record, alone);
    assert_eq!(alone.own_headers().count(), 0);
    let omitted = size(&record.headers)
        + record.value.as_ref().map_or(0, Bytes::len)
        + record.key.as_ref().map_or(0, Bytes::len);
    assert_eq!(alone.header(headers::OMITTED_BYTES), Some(omitted.to_string().as_str()));
    check_said(&alone, &topic, &group, &reason);
}

fn check_said(letter: &DeadLetter, topic: &str, group: &str, reason: &str) {
    assert_eq!(letter.header(headers::TOPIC), Some(topic));
    assert_eq!(letter.header(headers::GROUP), Some(group));
    assert_eq!(letter.header(headers::PARTITION), Some("3"));
    assert_eq!(letter.header(headers::OFFSET), Some("7"));
    assert_eq!(letter.header(headers::TIMESTAMP), Some("11"));
    assert_eq!(letter.header(headers::CLASS), Some("trap"));
    let said = letter.header(headers::REASON).expect("the reason");
    assert!(reason.starts_with(said) && (said.len() > 4_000 || said == reason));
}

/// A header as librdkafka passes it: the name ends before a NUL byte.
fn header(line: &[u8]) -> Header {
    let line: Vec<&[u8]> = line.splitn(2, |byte| *byte == b'=').collect();
    let name = line[0].split(|byte| *byte == 0).next().unwrap_or_default();
    Header {
        name: String::from_utf8_lossy(name).into(),
        value: line.get(1).map(|value| Bytes::copy_from_slice(value)),
    }
}

fn batch(topic: &str) -> Batch {
    Batch {
        topic: topic.into(),
        log_id: "log".into(),
        partition: 3,
        group: "group".into(),
        expected_position: None,
        start: 7,
        end: 8,
        attempt: 1,
        records: Vec::new(),
    }
}

fn letter(record: &Message, headers: Vec<Header>) -> DeadLetter {
    DeadLetter { partition: 0, open: true, record: Message { headers, ..record.clone() } }
}

fn size(headers: &[Header]) -> usize {
    let value = |header: &Header| header.value.as_ref().map_or(0, Bytes::len);
    headers.iter().map(|header| header.name.len() + value(header)).sum()
}
