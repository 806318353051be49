//! Batches of records, bounded by count and bytes.

use std::sync::Arc;

use bytes::Bytes;

/// Consecutive records of one partition, in offset order.
///
/// The batch covers every offset from `start` up to, not including, `end`. Offsets in
/// between may be missing: compaction and transaction markers leave gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The topic's name.
    pub topic: Arc<str>,
    /// Identifies the log: the value changes when the topic is deleted and created again, and when
    /// the brokers belong to another cluster. Compare it for equality only.
    pub log_id: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// The consumer group.
    pub group: Arc<str>,
    /// The position that the handler's store holds at least, if it has lost nothing: the end of the
    /// last batch of this log that the handler applied, or the position that it returned at the
    /// assignment, whichever is greater; after [`Failure::Rewind`](crate::Failure::Rewind), the
    /// position in that answer. `None` if nothing of the log was applied yet, and for a handler that
    /// does not keep its position.
    ///
    /// If there is one and the handler finds no position in its store, it has lost it and must
    /// return [`Failure::Lost`](crate::Failure::Lost). A stored position after this one is not an
    /// error: an earlier call stored it and then failed, or another owner of the partition stored
    /// it.
    pub expected_position: Option<i64>,
    /// The position at which the batch begins: the end of the previous batch. It may be before
    /// `expected_position`.
    pub start: i64,
    /// The offset after the last one that the batch covers.
    pub end: i64,
    /// Number of attempts to pass these records, this one included. Attempts with a larger batch
    /// that contained them count, and so do attempts that ended before the handler was called, for
    /// example because no instance was free. It begins again with 1 after a rebalance or a restart.
    pub attempt: u32,
    /// The records. Empty if all records between `start` and `end` were filtered out or given up.
    /// Only a handler that keeps its position gets an empty batch; it must store `end`.
    pub records: Vec<Message>,
}

/// The position that a handler's store must hold after it applied everything before `end`. It never
/// moves back: after a crash, batches that were applied are passed again.
pub(crate) fn expected_after(expected_position: Option<i64>, end: i64) -> Option<i64> {
    expected_position.max(Some(end))
}

/// One record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Offset in its partition.
    pub offset: i64,
    /// The record's timestamp in milliseconds since 1970-01-01 UTC, if it has one.
    pub timestamp_ms: Option<i64>,
    /// The key's bytes; `None` is a null key.
    pub key: Option<Bytes>,
    /// The value's bytes; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// The headers in the order in which they were produced. A name may occur several times.
    pub headers: Vec<Header>,
}

/// A record header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The header's name. Bytes that are not UTF-8 are replaced by U+FFFD.
    pub name: Arc<str>,
    /// The header's value; `None` is Kafka's null, which is not an empty value.
    pub value: Option<Bytes>,
}

impl Batch {
    /// A batch with the same offsets and no records.
    pub(crate) fn clone_empty(&self) -> Self {
        Self {
            topic: self.topic.clone(),
            log_id: self.log_id.clone(),
            group: self.group.clone(),
            records: Vec::new(),
            ..*self
        }
    }

    /// Counts one more attempt.
    pub(crate) fn next_attempt(&mut self) {
        self.attempt = self.attempt.saturating_add(1);
    }
}

impl Message {
    /// The number of bytes of key, value and headers.
    pub fn content_bytes(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.iter().map(|header| header.name.len() + length(&header.value));
        length(&self.key) + length(&self.value) + headers.sum::<usize>()
    }

    /// How many bytes the record counts for in a batch: its content, and a fixed cost for the
    /// record and for each header, however short they are.
    fn cost(&self) -> usize {
        self.content_bytes() + RECORD_COST_BYTES + self.headers.len() * HEADER_COST_BYTES
    }
}

/// The most that an allocation takes in addition to the bytes that were requested. The buffers that
/// records share are counted for the partition (`partition_bytes_max`).
const ALLOCATION_BYTES: usize = 32;
/// Memory of a record without content: the struct and the allocations of its key, its value and its
/// list of headers.
const RECORD_COST_BYTES: usize = size_of::<Message>() + 3 * ALLOCATION_BYTES;
/// Memory of a header without content: the struct and the allocations of its name and its value.
const HEADER_COST_BYTES: usize = size_of::<Header>() + 2 * ALLOCATION_BYTES;

/// Records that a filter drops do not fill a batch. After this many times `batch_records_max` of
/// them the batch counts as full, so that the position moves.
const PASSED_OVER_FACTOR: usize = 100;

/// Gathers records until a limit is reached.
#[derive(Debug)]
pub struct BatchBuilder {
    records_max: usize,
    bytes_max: usize,
    records: Vec<Message>,
    bytes: usize,
    passed_over: usize,
    /// The offset after the last record that was gathered or dropped by a filter.
    end: Option<i64>,
    /// The record that would have exceeded `bytes_max`. It becomes the first record of the next
    /// batch.
    held: Option<Message>,
}

/// The records of a batch, and the offset after the last one that was read for it.
#[derive(Debug)]
pub struct Gathered {
    /// The records, in the order of their offsets.
    pub records: Vec<Message>,
    /// The offset after the last record that was read.
    pub end: i64,
}

impl BatchBuilder {
    /// An empty batch with these limits.
    pub fn new(records_max: usize, bytes_max: usize) -> Self {
        Self {
            records_max,
            bytes_max,
            records: Vec::new(),
            bytes: 0,
            passed_over: 0,
            end: None,
            held: None,
        }
    }

    /// Adds a record. A record larger than `bytes_max` is the only record of its batch.
    pub fn push(&mut self, message: Message) {
        debug_assert!(!self.is_full(), "a full batch is taken before the next record is read");
        let bytes = message.cost();
        if !self.records.is_empty() && self.bytes + bytes > self.bytes_max {
            self.held = Some(message);
        } else {
            self.bytes += bytes;
            self.end = Some(message.offset + 1);
            self.records.push(message);
        }
    }

    /// Notes that a record was read that a filter dropped.
    pub(crate) fn pass_over(&mut self, offset: i64) {
        self.passed_over += 1;
        self.end = Some(offset + 1);
    }

    /// Whether the batch must be taken before the next record is added.
    pub fn is_full(&self) -> bool {
        self.held.is_some()
            || self.records.len() >= self.records_max
            || self.bytes >= self.bytes_max
            || self.passed_over >= self.records_max.saturating_mul(PASSED_OVER_FACTOR)
    }

    /// Whether no record was read for the batch.
    pub fn is_empty(&self) -> bool {
        self.end.is_none()
    }

    /// Takes what was gathered; `None` if nothing was read. The next batch begins with the record
    /// that did not fit.
    pub fn take(&mut self) -> Option<Gathered> {
        let end = self.end.take()?;
        let next = Vec::with_capacity(self.records.len());
        let records = std::mem::replace(&mut self.records, next);
        self.bytes = 0;
        self.passed_over = 0;
        if let Some(held) = self.held.take() {
            self.push(held);
        }
        Some(Gathered { records, end })
    }

    /// Drops everything that was gathered. The caller must read it again.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.records_max, self.bytes_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(offset: i64, bytes: usize) -> Message {
        let value = Some(vec![0; bytes].into());
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
                let bytes: usize = batch.records.iter().map(Message::cost).sum();
                prop_assert!(batch.records.len() <= records_max);
                prop_assert!(bytes <= bytes_max || batch.records.len() == 1);
                prop_assert!(batch.records.iter().all(|message| message.offset < batch.end));
            }
            prop_assert_eq!(batches.last().map(|batch| batch.end), Some(records.len() as i64));
            let starts = batches.iter().map(|batch| batch.end).collect::<Vec<_>>();
            prop_assert!(starts.windows(2).all(|pair| pair[0] < pair[1]));
            let offsets: Vec<i64> =
                batches.iter().flat_map(|batch| &batch.records).map(|m| m.offset).collect();
            let expected: Vec<i64> =
                (0_i64..).zip(&records).filter(|(_, r)| r.1).map(|(offset, _)| offset).collect();
            prop_assert_eq!(offsets, expected);
        }
    }

    #[test]
    fn a_record_larger_than_a_batch_is_alone_in_its_batch() {
        let mut builder = BatchBuilder::new(10, RECORD_COST_BYTES + 100);
        builder.push(message(0, 10));
        builder.push(message(1, 500));
        assert!(builder.is_full());
        let first = builder.take().unwrap();
        assert_eq!((first.records.len(), first.end), (1, 1));
        assert!(builder.is_full(), "the large record fills the next batch");
        let second = builder.take().unwrap();
        assert_eq!((second.records[0].offset, second.end), (1, 2));
        assert!(builder.is_empty());
    }

    #[test]
    fn records_that_are_passed_over_move_the_end_and_finally_fill_a_batch() {
        let mut builder = BatchBuilder::new(2, 100);
        for offset in 0..200 {
            assert!(!builder.is_full());
            builder.pass_over(offset);
        }
        assert!(builder.is_full());
        let gathered = builder.take().unwrap();
        assert_eq!((gathered.records.len(), gathered.end), (0, 200));
        assert!(builder.take().is_none());
    }

    #[test]
    fn a_record_costs_its_content_and_the_structures_around_it() {
        let mut record = message(0, 3);
        record.key = Some(vec![0; 5].into());
        record.headers = vec![
            Header { name: "ab".into(), value: Some(vec![0; 7].into()) },
            Header { name: "c".into(), value: None },
        ];
        assert_eq!(record.content_bytes(), 3 + 5 + 2 + 7 + 1);
        assert_eq!(record.cost(), 18 + RECORD_COST_BYTES + 2 * HEADER_COST_BYTES);
    }

    #[test]
    fn clear_also_drops_the_held_record() {
        let mut builder = BatchBuilder::new(10, RECORD_COST_BYTES + 100);
        builder.push(message(0, 60));
        builder.push(message(1, 60));
        builder.clear();
        assert!(builder.is_empty() && !builder.is_full());
        assert!(builder.take().is_none());
    }
}
