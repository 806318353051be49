//! The list in a marker, which contains the letters that were sent back.

use spin_kafka_trigger::decoders::{marker, marks};
use spin_kafka_trigger::{Header, Message};

/// Checks an input.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let ranges = ranges(text);
    let edges = ranges
        .iter()
        .flatten()
        .flat_map(|(first, last)| [first.saturating_sub(1), *first, *last, last.saturating_add(1)]);
    let edges: Vec<i64> = edges.collect();
    let read = marks(text, &edges);
    assert_eq!(read.is_some(), ranges.is_some(), "{text}");
    assert_eq!(marker(&record(text)), read.as_ref().map(|(list, ..)| list.clone()));
    let (Some((list, count, contained)), Some(ranges)) = (read, ranges) else { return };
    let is_marked = |offset: &i64| ranges.iter().any(|(a, b)| (a..=b).contains(&offset));
    assert_eq!(contained, edges.iter().map(is_marked).collect::<Vec<_>>(), "{text}");
    assert_eq!(count, size(ranges), "{text}");
    // Encoded and decoded again, the list is the same and as short as possible.
    let (again, same, _) = marks(&list, &[]).unwrap();
    assert_eq!((again, same), (list, count), "{text}");
}

/// The ranges of a list, parsed in a simple way; None if it is not a list.
fn ranges(text: &str) -> Option<Vec<(i64, i64)>> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (i64, i64) = (first.parse().ok()?, last.parse().ok()?);
        (0 <= first && first <= last && last < i64::MAX).then_some((first, last))
    };
    parts.map(range).collect()
}

/// The number of offsets in all ranges together.
fn size(mut ranges: Vec<(i64, i64)>) -> u64 {
    ranges.sort_unstable();
    let (mut size, mut next) = (0, 0);
    for (first, last) in ranges {
        let first = first.max(next);
        if first <= last {
            size += (last - first) as u64 + 1;
            next = last + 1;
        }
    }
    size
}

fn record(list: &str) -> Message {
    let header =
        Header { name: "spin-kafka.sent-back".into(), value: Some(list.to_owned().into()) };
    Message { offset: 0, timestamp_ms: None, key: None, value: None, headers: vec![header] }
}
