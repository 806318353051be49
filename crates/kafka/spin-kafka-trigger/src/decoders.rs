//! The decoders of external input, only for the checks in `tests/decoders`.

use bytes::Bytes;
use rdkafka::message::Headers as _;

use crate::letter::Letter;
use crate::marks::Marks;
use crate::{Batch, FailureClass, Header, Message, assignment, dead_letter_topic};

/// The partitions of an assignment; `None` if the bytes are not an assignment.
pub fn assigned(bytes: &[u8]) -> Option<Vec<(&str, i32)>> {
    assignment::read(bytes)
}

/// Parses a marker's list; returns the list as a marker would carry it, the number of its offsets,
/// and whether each of `offsets` is among them.
pub fn marks(text: &str, offsets: &[i64]) -> Option<(String, u64, Vec<bool>)> {
    let marks = Marks::parse(text)?;
    let contained = offsets.iter().map(|offset| marks.contains(*offset)).collect();
    Some((marks.list(), marks.count_within(0, i64::MAX), contained))
}

/// The list of offsets of a marker; `None` if the record is not a marker.
pub fn marker(record: &Message) -> Option<String> {
    dead_letter_topic::marks_of(record).map(|marks| marks.list())
}

/// The headers of the letter for a record: with the record, and without it.
pub fn letter_headers(
    batch: &Batch,
    record: &Message,
    class: FailureClass,
    reason: &str,
    group: &str,
) -> [Vec<Header>; 2] {
    let letter = Letter { batch, record, class, attempts: 1, reason };
    [letter.headers(group), letter.headers_without_record(group)].map(|headers| {
        let read = |header: rdkafka::message::Header<'_, &[u8]>| Header {
            name: header.key.into(),
            value: header.value.map(Bytes::copy_from_slice),
        };
        headers.iter().map(read).collect()
    })
}
