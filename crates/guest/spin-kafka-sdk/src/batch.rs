//! Consecutive records of one partition.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::bindings::handler::spin_kafka::events::types;
use crate::{Error, Failure, FromRecord, Record, Rejection};

/// One log, as a consumer group reads it: a partition of a topic, until the topic is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    group: String,
    topic: Arc<str>,
    log_id: Option<String>,
    number: i32,
}

impl Partition {
    /// A partition, for tests.
    pub fn new(group: &str, topic: &str, log_id: Option<&str>, number: i32) -> Self {
        let log_id = log_id.map(str::to_owned);
        Self { group: group.into(), topic: topic.into(), log_id, number }
    }

    /// Name of the consumer group. Positions of different groups are independent.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Name of the topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Identifies the log. It changes if the topic is deleted and created again, and if the broker
    /// belongs to another cluster. Compare it for equality only. `None` if the broker does not
    /// report an id.
    pub fn log_id(&self) -> Option<&str> {
        self.log_id.as_deref()
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
    partition: Partition,
    expected_position: Option<i64>,
    range: Range<i64>,
    /// The start of the range as it was handed over.
    handed_over_from: i64,
    attempt: u32,
    time_limit: Duration,
    records: Vec<Record>,
}

/// The time limit of a batch that a test creates: the default of the trigger.
const TIME_LIMIT: Duration = Duration::from_secs(60);

impl Batch {
    /// The first attempt of a batch without an expected position, for tests.
    pub fn new(partition: Partition, range: Range<i64>, records: Vec<Record>) -> Self {
        let (handed_over_from, attempt, time_limit) = (range.start, 1, TIME_LIMIT);
        let expected_position = None;
        Self { partition, expected_position, range, handed_over_from, attempt, time_limit, records }
    }

    /// Sets the expected position, for tests.
    pub fn with_expected_position(self, position: i64) -> Self {
        Self { expected_position: Some(position), ..self }
    }

    pub(crate) fn received(batch: types::Batch) -> Self {
        let types::Batch { topic, log_id, partition: number, group, .. } = batch;
        let topic: Arc<str> = topic.into();
        let record = |record| Record::received(topic.clone(), number, record);
        Self {
            records: batch.records.into_iter().map(record).collect(),
            partition: Partition { group, topic, log_id, number },
            expected_position: batch.expected_position,
            range: batch.start..batch.end,
            handed_over_from: batch.start,
            attempt: batch.attempt,
            time_limit: Duration::from_millis(batch.time_limit_ms.into()),
        }
    }

    /// Keeps only these records, and moves the start to a later position.
    pub(crate) fn retain(&mut self, start: i64, keep: impl Fn(&Record) -> bool) {
        self.range.start = start;
        self.records.retain(keep);
    }

    /// The start of the batch as it was handed over. Records before it are not handed over again.
    pub(crate) fn handed_over_from(&self) -> i64 {
        self.handed_over_from
    }

    /// The log that the batch was read from.
    pub(crate) fn log(&self) -> &Partition {
        &self.partition
    }

    /// Name of the topic.
    pub fn topic(&self) -> &str {
        self.partition.topic()
    }

    /// Number of the partition.
    pub fn partition(&self) -> i32 {
        self.partition.number()
    }

    /// Identifies the log, see [`Partition::log_id`].
    pub fn log_id(&self) -> Option<&str> {
        self.partition.log_id()
    }

    /// Name of the consumer group, see [`Partition::group`].
    pub fn group(&self) -> &str {
        self.partition.group()
    }

    /// The position that the store holds at least, if it has lost nothing: the [`end`](Self::end) of
    /// the last batch of this log that was applied, or the position that the function returned at
    /// the assignment, whichever is greater; after [`Failure::Rewind`], the position in that answer.
    /// `None` if nothing of the log was applied yet, and for a component without
    /// [`position`](macro@crate::position).
    ///
    /// If there is one and no position is stored, the store has lost everything: return
    /// [`Failure::Lost`]. A stored position after this one is not an error: an earlier call stored
    /// it and then failed, or another owner of the partition stored it.
    pub fn expected_position(&self) -> Option<i64> {
        self.expected_position
    }

    /// Number of attempts to hand over these records, this one included. Attempts with a larger batch
    /// that contained them count, and so do attempts that ended before the component was called, for
    /// example because no instance was free. Do not reject a record because of this number alone. The
    /// count begins again with 1 after a rebalance or a restart of the trigger.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The time that this call may take. After it the call is interrupted, and the batch handed
    /// over again in halves.
    pub fn time_limit(&self) -> Duration {
        self.time_limit
    }

    /// The position from which the batch was read. It may be before
    /// [`expected_position`](Self::expected_position).
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
