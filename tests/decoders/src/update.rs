//! A batch of records, and Valkey's replies to the script.
//!
//! Input: a line for each reply, with its words separated by blanks, and `-` before the first word
//! of an error; an empty line; a line for each record, with its key and its value separated by a
//! tab.

use aggregate::{
    Known, NAMES, Namespace, OffsetRange, Record, Reply, RetentionLimits, Source, Step, Update,
};

use crate::lines;

/// Maximum number of calls of the script for one batch.
const CALLS_MAX: usize = 8;

/// Maximum number of words of a call. There are as many however many records there are, because
/// those of a key are in one list.
const WORDS_MAX: usize = 500;

/// Checks an input.
pub fn check(mut bytes: &[u8]) {
    let answers = lines::block(&mut bytes);
    let records: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let end = records.len() as i64;
    let Ok(namespace) = Namespace::fixed("", &NAMES) else { unreachable!("no prefix is valid") };
    let (group, topic, log_id) = ("g".into(), "t".into(), "l".into());
    let source = Source { namespace, group, topic, log_id, partition: 3 };
    let range = OffsetRange { start: 0, end, expected_position: None };
    let new = || {
        let read = records.iter().zip(0..).map(|(line, offset)| record(line, offset));
        Update::from_records(source.clone(), range, RetentionLimits::default(), read)
    };
    let mut update = new();
    let (mut known, mut calls) = (Known::default(), 0);
    for answer in answers {
        let Ok(command) = update.command(&known) else { break };
        assert!(command.words().len() <= WORDS_MAX);
        calls += 1;
        assert!(calls <= CALLS_MAX);
        if !matches!(update.reply(reply(answer), &mut known), Ok(Step::Send | Step::Run)) {
            break;
        }
    }
    let rejections = update.rejections();
    assert!(rejections.iter().all(|rejection| (0..end).contains(&rejection.offset)));
    assert_eq!(rejections, new().rejections(), "the replies change no rejection");
}

fn record(line: &[u8], offset: i64) -> Record<'_> {
    let mut parts = line.splitn(2, |byte| *byte == b'\t');
    let (first, second) = (parts.next(), parts.next());
    let (idempotency_key, value) = if second.is_some() { (first, second) } else { (None, first) };
    Record { offset, timestamp_ms: Some(offset), idempotency_key, value }
}

fn reply(line: &[u8]) -> Reply {
    let text = String::from_utf8_lossy(line);
    match text.strip_prefix('-') {
        Some(error) => Reply::Error(error.into()),
        None => Reply::Values(text.split(' ').map(Into::into).collect()),
    }
}
