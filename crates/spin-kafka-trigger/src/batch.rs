//! Batches of records, bounded by count and bytes.

use std::sync::Arc;

/// Consecutive records of one partition, in offset order.
///
/// The batch stands for every offset from `start` up to, not including, `end`. Offsets in
/// between may be missing: compaction and transaction markers leave gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The topic's name.
    pub topic: Arc<str>,
    /// Which log this is: it changes when the topic is deleted and made again and when the
    /// brokers are another cluster. Compare it for equality only.
    pub log_id: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// Whether it may be the first of this log that a handler applies that keeps its position:
    /// at the assignment it had none, and it has applied nothing since. If not, and it finds
    /// no position, it has lost it: [`Failure::Lost`](crate::Failure::Lost).
    pub first: bool,
    /// The position that the batch was read from: the end of the one before.
    pub start: i64,
    /// The position after all that was read for the batch.
    pub end: i64,
    /// The records. None if those between `start` and `end` were filtered out or given up: a
    /// handler that keeps a position stores `end` all the same, and only such a one gets it.
    pub messages: Vec<Message>,
}

/// One record as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Offset in its partition.
    pub offset: i64,
    /// The record's timestamp in milliseconds since 1970-01-01 UTC, if it has one.
    pub timestamp_ms: Option<i64>,
    /// The key's bytes; none is a null key.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers in the order they were produced; a name may come several times.
    pub headers: Vec<Header>,
}

/// A record header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The header's name. Bytes that are no UTF-8 are replaced by U+FFFD.
    pub name: String,
    /// The header's value; none is Kafka's null, which is not an empty value.
    pub value: Option<Vec<u8>>,
}

impl Batch {
    /// The same offsets without a record.
    pub(crate) fn clone_empty(&self) -> Self {
        Self {
            topic: self.topic.clone(),
            log_id: self.log_id.clone(),
            messages: Vec::new(),
            ..*self
        }
    }
}

impl Message {
    /// Bytes of key, value and headers.
    pub(crate) fn content_bytes(&self) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = self.headers.iter().map(|header| header.name.len() + length(&header.value));
        length(&self.key) + length(&self.value) + headers.sum::<usize>()
    }

    /// What the record takes of a batch's bytes: its content, and a fixed cost for itself and
    /// for each of its headers, however short they are.
    fn cost(&self) -> usize {
        self.content_bytes() + RECORD_COST_BYTES + self.headers.len() * HEADER_COST_BYTES
    }
}

/// What an allocation takes at most besides the bytes that were asked for.
const ALLOCATION_BYTES: usize = 32;
/// A record without a byte of content, with its key, its value and its list of headers.
const RECORD_COST_BYTES: usize = size_of::<Message>() + 3 * ALLOCATION_BYTES;
/// A header without a byte of content, with its name and its value.
const HEADER_COST_BYTES: usize = size_of::<Header>() + 2 * ALLOCATION_BYTES;

/// Records that are passed over do not fill a batch; after so many times the most records of a
/// batch it is taken for full all the same, so that the position moves.
const PASSED_OVER_FACTOR: usize = 100;

/// Gathers records until one of the bounds is reached.
pub(crate) struct BatchBuilder {
    records_max: usize,
    bytes_max: usize,
    messages: Vec<Message>,
    bytes: usize,
    passed_over: usize,
    /// The offset after the last record that was gathered or passed over.
    end: Option<i64>,
    /// The record that would have taken the batch over `bytes_max`: the next batch's first.
    held: Option<Message>,
}

/// Records for a batch, and the offset after all that was read for it.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub messages: Vec<Message>,
    pub end: i64,
}

impl BatchBuilder {
    pub fn new(records_max: usize, bytes_max: usize) -> Self {
        Self {
            records_max,
            bytes_max,
            messages: Vec::new(),
            bytes: 0,
            passed_over: 0,
            end: None,
            held: None,
        }
    }

    /// Adds a record. One that is larger than a whole batch gets a batch of its own.
    pub fn push(&mut self, message: Message) {
        debug_assert!(!self.is_full(), "a full batch is taken before the next record is read");
        let bytes = message.cost();
        if !self.messages.is_empty() && self.bytes + bytes > self.bytes_max {
            self.held = Some(message);
        } else {
            self.bytes += bytes;
            self.end = Some(message.offset + 1);
            self.messages.push(message);
        }
    }

    /// A record was read that is not handed over.
    pub fn pass_over(&mut self, offset: i64) {
        self.passed_over += 1;
        self.end = Some(offset + 1);
    }

    pub fn is_full(&self) -> bool {
        self.held.is_some()
            || self.messages.len() >= self.records_max
            || self.bytes >= self.bytes_max
            || self.passed_over >= self.records_max.saturating_mul(PASSED_OVER_FACTOR)
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.end.is_none()
    }

    /// What was read so far, if anything. The next batch begins with what did not fit.
    pub fn take(&mut self) -> Option<Gathered> {
        let end = self.end.take()?;
        let next = Vec::with_capacity(self.messages.len());
        let messages = std::mem::replace(&mut self.messages, next);
        self.bytes = 0;
        self.passed_over = 0;
        if let Some(held) = self.held.take() {
            self.push(held);
        }
        Some(Gathered { messages, end })
    }

    /// Forgets everything gathered; it will be read again.
    pub fn clear(&mut self) {
        *self = Self::new(self.records_max, self.bytes_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(offset: i64, bytes: usize) -> Message {
        let value = Some(vec![0; bytes]);
        Message { offset, timestamp_ms: None, key: None, value, headers: Vec::new() }
    }

    proptest! {
        #[test]
        fn batches_keep_every_record_in_order_and_within_the_bounds(
            records in prop::collection::vec((0_usize..300, prop::bool::weighted(0.8)), 1..200),
            records_max in 1_usize..20,
            bytes_max in 1_usize..4_000,
        ) {
            let mut builder = BatchBuilder::new(records_max, bytes_max);
            let mut batches = Vec::new();
            for (offset, (bytes, passes)) in (0_i64..).zip(&records) {
                if *passes {
                    builder.push(message(offset, *bytes));
                } else {
                    builder.pass_over(offset);
                }
                while builder.is_full() {
                    batches.push(builder.take().unwrap());
                }
            }
            batches.extend(builder.take());

            for batch in &batches {
                let bytes: usize = batch.messages.iter().map(Message::cost).sum();
                prop_assert!(batch.messages.len() <= records_max);
                prop_assert!(bytes <= bytes_max || batch.messages.len() == 1);
                prop_assert!(batch.messages.iter().all(|message| message.offset < batch.end));
            }
            prop_assert_eq!(batches.last().map(|batch| batch.end), Some(records.len() as i64));
            let starts = batches.iter().map(|batch| batch.end).collect::<Vec<_>>();
            prop_assert!(starts.windows(2).all(|pair| pair[0] < pair[1]));
            let offsets: Vec<i64> =
                batches.iter().flat_map(|batch| &batch.messages).map(|m| m.offset).collect();
            let expected: Vec<i64> =
                (0_i64..).zip(&records).filter(|(_, r)| r.1).map(|(offset, _)| offset).collect();
            prop_assert_eq!(offsets, expected);
        }
    }

    #[test]
    fn a_record_larger_than_a_batch_comes_alone() {
        let mut builder = BatchBuilder::new(10, RECORD_COST_BYTES + 100);
        builder.push(message(0, 10));
        builder.push(message(1, 500));
        assert!(builder.is_full());
        let first = builder.take().unwrap();
        assert_eq!((first.messages.len(), first.end), (1, 1));
        assert!(builder.is_full(), "the large record fills the next batch");
        let second = builder.take().unwrap();
        assert_eq!((second.messages[0].offset, second.end), (1, 2));
        assert!(builder.is_empty());
    }

    #[test]
    fn records_passed_over_move_the_end_and_fill_a_batch_in_the_long_run() {
        let mut builder = BatchBuilder::new(2, 100);
        for offset in 0..200 {
            assert!(!builder.is_full());
            builder.pass_over(offset);
        }
        assert!(builder.is_full());
        let gathered = builder.take().unwrap();
        assert_eq!((gathered.messages.len(), gathered.end), (0, 200));
        assert!(builder.take().is_none());
    }

    #[test]
    fn a_record_costs_its_content_and_what_holds_it() {
        let mut record = message(0, 3);
        record.key = Some(vec![0; 5]);
        record.headers = vec![
            Header { name: "ab".into(), value: Some(vec![0; 7]) },
            Header { name: "c".into(), value: None },
        ];
        assert_eq!(record.content_bytes(), 3 + 5 + 2 + 7 + 1);
        assert_eq!(record.cost(), 18 + RECORD_COST_BYTES + 2 * HEADER_COST_BYTES);
    }

    #[test]
    fn clear_forgets_the_held_record_too() {
        let mut builder = BatchBuilder::new(10, RECORD_COST_BYTES + 100);
        builder.push(message(0, 60));
        builder.push(message(1, 60));
        builder.clear();
        assert!(builder.is_empty() && !builder.is_full());
        assert!(builder.take().is_none());
    }
}
