//! Consecutive records of one partition.

use std::ops::Range;
use std::sync::Arc;

use crate::bindings::handler::spin_kafka::events::types;
use crate::{Error, Failure, FromRecord, Record, Rejection};

/// One log: a partition of a topic, until the topic is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    topic: Arc<str>,
    log_id: String,
    number: i32,
}

impl Partition {
    /// A partition, for tests.
    pub fn new(topic: &str, log_id: &str, number: i32) -> Self {
        Self { topic: topic.into(), log_id: log_id.into(), number }
    }

    /// Name of the topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Identifies the log. It changes if the topic is deleted and created again, and if the broker
    /// belongs to another cluster. Compare it for equality only. Empty if the broker does not
    /// report an id.
    pub fn log_id(&self) -> &str {
        &self.log_id
    }

    /// Number of the partition.
    pub fn number(&self) -> i32 {
        self.number
    }
}

/// Consecutive records of one partition, in offset order.
///
/// The batch represents every offset from [`start`](Self::start) to [`end`](Self::end), without
/// `end` itself. Some of these offsets may have no record.
#[derive(Debug, Clone)]
pub struct Batch {
    log: Partition,
    is_first: bool,
    range: Range<i64>,
    records: Vec<Record>,
}

impl Batch {
    /// A batch that is not the first of its log, for tests.
    pub fn new(log: Partition, range: Range<i64>, records: Vec<Record>) -> Self {
        Self { log, is_first: false, range, records }
    }

    /// Makes this the first batch of its log, for tests.
    pub fn with_first(self) -> Self {
        Self { is_first: true, ..self }
    }

    pub(crate) fn received(batch: types::Batch) -> Self {
        let types::Batch { topic, log_id, partition, first, start, end, messages } = batch;
        let topic: Arc<str> = topic.into();
        let record = |message| Record::received(topic.clone(), partition, message);
        Self {
            records: messages.into_iter().map(record).collect(),
            log: Partition { topic, log_id, number: partition },
            is_first: first,
            range: start..end,
        }
    }

    /// Name of the topic.
    pub fn topic(&self) -> &str {
        self.log.topic()
    }

    /// Number of the partition.
    pub fn partition(&self) -> i32 {
        self.log.number()
    }

    /// Identifies the log, see [`Partition::log_id`].
    pub fn log_id(&self) -> &str {
        self.log.log_id()
    }

    /// Whether this may be the first batch of the log that the component applies. If it is not, and
    /// no position is stored, the store has lost everything: return [`Failure::Lost`].
    pub fn is_first(&self) -> bool {
        self.is_first
    }

    /// The position from which the batch was read.
    pub fn start(&self) -> i64 {
        self.range.start
    }

    /// The position after the batch. A component with [`position`](macro@crate::position) stores
    /// it, never the last offset plus one.
    pub fn end(&self) -> i64 {
        self.range.end
    }

    /// The records. Empty only for a component with [`position`](macro@crate::position), if all
    /// records were filtered out or given up; [`end`](Self::end) must be stored nevertheless.
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

/// The parameter of a [`batch`](macro@crate::batch) handler. Only the macro uses it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the parameter of a batch handler",
    label = "expected `&[Record]` or `&Batch`"
)]
pub trait FromBatch<'a> {
    /// Takes the value.
    fn from_batch(batch: &'a Batch) -> Self;
}

impl<'a> FromBatch<'a> for &'a Batch {
    fn from_batch(batch: &'a Batch) -> Self {
        batch
    }
}

impl<'a> FromBatch<'a> for &'a [Record] {
    fn from_batch(batch: &'a Batch) -> Self {
        batch.records()
    }
}

/// The records with the values that were taken from them.
pub type Parsed<'a, T> = Vec<(&'a Record, T)>;

/// Takes a value from each record, and the rejections of the records for which that is not possible.
///
/// ```
/// use spin_kafka_sdk::{Json, Record, parse};
///
/// let records = ["1", "one"].map(|value| Record::new("numbers", 0, 7).with_value(value));
/// let (numbers, rejections) = parse::<Json<u32>>(&records).unwrap();
/// assert_eq!(numbers[0].1, Json(1));
/// assert!(rejections[0].reason().starts_with("the value is not as expected"));
/// ```
pub fn parse<'a, T: FromRecord<'a>>(
    records: &'a [Record],
) -> Result<(Parsed<'a, T>, Vec<Rejection>), Failure> {
    let (mut values, mut rejections) = (Vec::new(), Vec::new());
    for record in records {
        match T::from_record(record) {
            Ok(value) => values.push((record, value)),
            Err(Error::Reject(reason)) => rejections.push(record.reject(reason)),
            Err(Error::Failure(failure)) => return Err(failure),
        }
    }
    Ok((values, rejections))
}
