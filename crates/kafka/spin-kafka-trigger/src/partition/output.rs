//! What a batch results in: the records that the handler returned, and dead letters.

use std::sync::Arc;

use crate::OutgoingRecord;
use crate::letter::Letter;
use crate::record;
use crate::transaction::WrittenRecord;

/// What a batch, or a part of one, results in.
pub(crate) struct Output<'a> {
    /// The records that the handler returned.
    pub records: Vec<OutgoingRecord>,
    pub letters: Vec<Letter<'a>>,
}

impl Output<'_> {
    /// The records to write: those of the handler, then the letters. The letters whose indices are
    /// in `short` are written without their record.
    pub fn to_write(
        &self,
        group: &str,
        letter_topic: &str,
        short: &dyn Fn(usize) -> bool,
    ) -> Arc<[WrittenRecord]> {
        let records = self.records.iter().map(|record| WrittenRecord {
            topic: record.topic.clone(),
            partition: record.partition,
            timestamp_ms: record.timestamp_ms,
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record::headers(record.headers.iter()),
            bytes: record.content_bytes(),
        });
        let letters = self.letters.iter().enumerate().map(|(index, letter)| {
            let topic = Arc::from(letter_topic);
            let (partition, timestamp_ms) = (None, None);
            let is_short = short(index) || letter.is_too_long();
            let (key, value, headers) = if is_short {
                (letter.short_key().cloned(), None, letter.headers_without_record(group))
            } else {
                let record = letter.record;
                (record.key.clone(), record.value.clone(), letter.headers(group))
            };
            let bytes = if is_short { 0 } else { letter.record.content_bytes() };
            WrittenRecord { topic, partition, timestamp_ms, key, value, headers, bytes }
        });
        records.chain(letters).collect()
    }
}
