//! Reads ranges of the log outside the consumer group.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio_util::task::AbortOnDropHandle;

use crate::consumer::Consumer;
use crate::engine::Engine;
use crate::partition::{PartitionTask, TaskEnd};
use crate::pattern::is_pattern;
use crate::{Error, ParseError, offsets};

/// How long one query to the cluster may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The range of each partition's log to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first record.
    pub from: Bound,
    /// The first record after the range.
    pub to: Bound,
}

/// A position in each partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bound {
    /// The oldest record.
    Earliest,
    /// After the newest record.
    Latest,
    /// This offset, or the nearest end of the log if it lies outside.
    Offset(i64),
    /// The first record that was written at this time or later, in milliseconds since 1970-01-01
    /// UTC.
    Timestamp(i64),
}

impl FromStr for Bound {
    type Err = ParseError;

    /// Parses `earliest`, `latest`, an offset, or an RFC 3339 time.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Ok(offset) = text.parse() {
            return Ok(Bound::Offset(offset));
        }
        match text.parse()? {
            crate::Start::Earliest => Ok(Bound::Earliest),
            crate::Start::Latest => Ok(Bound::Latest),
            crate::Start::Timestamp(ms) => Ok(Bound::Timestamp(ms)),
        }
    }
}

/// The records of one partition that [`Trigger::recount`](crate::Trigger::recount) applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecountRange {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The first offset for a handler that has no position yet. If it is before the beginning of
    /// the log, the handler gets the log from its beginning.
    pub start: i64,
    /// The offset after the last record.
    pub end: i64,
}

/// What is read.
#[derive(Debug, Clone)]
pub(crate) enum Selection {
    /// This range of each partition, which the handler may have applied before.
    Replay(Range),
    /// What the handler has not applied of each of these partitions.
    Recount(Vec<RecountRange>),
}

/// A range of one partition's log.
#[derive(Debug)]
struct PartitionRange {
    topic: String,
    partition: i32,
    from: i64,
    to: i64,
}

/// Passes the selected range of every partition to the handler. Nothing is committed.
pub(crate) async fn run(
    engine: &Arc<Engine>,
    consumer: &Arc<Consumer>,
    selection: Selection,
) -> Result<(), Error> {
    let is_recount = matches!(selection, Selection::Recount(_));
    let found = tokio::task::spawn_blocking({
        let (engine, consumer) = (engine.clone(), consumer.clone());
        move || match selection {
            Selection::Replay(range) => ranges(&engine, &consumer, range),
            Selection::Recount(ranges) => ranges_to_count(&engine, &consumer, ranges),
        }
    })
    .await;
    let fault = |error: KafkaError| engine.group_error(error);
    let ranges = found.map_err(|error| engine.group_error(error))??;
    let mut tasks = Vec::new();
    let mut assigned = TopicPartitionList::new();
    for PartitionRange { topic, partition, from, to } in ranges {
        let split = PartitionTask::split(engine, consumer, &topic, partition, Some(to));
        let no_queue =
            || engine.group_error(format!("librdkafka has no queue for {topic}/{partition}"));
        let (task, _) = split.ok_or_else(no_queue)?;
        let start = assigned.add_partition_offset(&topic, partition, Offset::Offset(from));
        start.map_err(fault)?;
        tasks.push((task, from, to));
    }
    // The partitions are paused, so that nothing is fetched until a partition has its turn.
    let assigned = consumer.pause(&assigned).and_then(|()| consumer.assign(&assigned));
    assigned.map_err(fault)?;
    let tasks = tasks.into_iter().map(|(task, from, to)| async move {
        let run = async move {
            if is_recount { task.recount(from, to).await } else { task.replay(from, to).await }
        };
        match AbortOnDropHandle::new(tokio::spawn(run)).await {
            Ok(Ok(()) | Err(TaskEnd::Stopped)) => Ok(()),
            Ok(Err(TaskEnd::Failed(error))) => Err(error),
            Err(panic) => Err(engine.group_error(panic)),
        }
    });
    try_join_all(tasks).await.map(drop)
}

/// The range of each partition. Empty ranges are left out.
fn ranges(
    engine: &Engine,
    consumer: &Consumer,
    range: Range,
) -> Result<Vec<PartitionRange>, Error> {
    let mut ranges = Vec::new();
    for topic in &engine.config.topics {
        if is_pattern(topic) {
            let reason = format!("a replay needs the names of topics; `{topic}` is a pattern");
            return Err(Error::setting("topics", reason));
        }
        let found = ranges_of(consumer, topic, range).map_err(|error| match error {
            error if error == NO_TIMES => Error::Range {
                topic: topic.clone(),
                reason: "the broker cannot find records by their time (the embedded broker of \
                         `doorbuster up` cannot): give offsets"
                    .into(),
            },
            error => engine.group_error(format!("cannot find the range in topic {topic}: {error}")),
        })?;
        ranges.extend(found.into_iter().filter(|range| range.from < range.to));
    }
    Ok(ranges)
}

/// The parts of these ranges that are in the log. Empty ranges are left out. An end beyond the end
/// of the log is an error.
fn ranges_to_count(
    engine: &Engine,
    consumer: &Consumer,
    wanted: Vec<RecountRange>,
) -> Result<Vec<PartitionRange>, Error> {
    let mut ranges = Vec::new();
    for RecountRange { topic, partition, start, end: to } in wanted {
        let watermarks = consumer.fetch_watermarks(&topic, partition, ANSWER_TIMEOUT);
        let (begin, end) = watermarks.map_err(|error| {
            engine.group_error(format!("cannot find the range of {topic}/{partition}: {error}"))
        })?;
        if to > end {
            let reason = format!("the log of partition {partition} ends at {end}, before {to}");
            return Err(Error::Range { topic, reason });
        }
        let from = start.max(begin);
        if from < to {
            ranges.push(PartitionRange { topic, partition, from, to });
        }
    }
    Ok(ranges)
}

fn ranges_of(consumer: &Consumer, topic: &str, range: Range) -> KafkaResult<Vec<PartitionRange>> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    partitions
        .map(|partition| {
            let partition = partition.id();
            let ends = consumer.fetch_watermarks(topic, partition, ANSWER_TIMEOUT)?;
            let from = offset_of(consumer, topic, partition, range.from, ends)?;
            let to = offset_of(consumer, topic, partition, range.to, ends)?;
            Ok(PartitionRange { topic: topic.into(), partition, from, to })
        })
        .collect()
}

/// The error for a broker that does not find records by time.
const NO_TIMES: KafkaError = KafkaError::OffsetFetch(RDKafkaErrorCode::UnsupportedVersion);

fn offset_of(
    consumer: &Consumer,
    topic: &str,
    partition: i32,
    bound: Bound,
    (low, high): (i64, i64),
) -> KafkaResult<i64> {
    match bound {
        Bound::Earliest => Ok(low),
        Bound::Latest => Ok(high),
        Bound::Offset(offset) => Ok(offset.clamp(low, high)),
        Bound::Timestamp(ms) => {
            let written_at =
                |ms| offsets::written_at(consumer, topic, partition, ms, ANSWER_TIMEOUT);
            match written_at(ms)? {
                Some(offset) => Ok(offset),
                // Every record was written after 1970. A broker that finds none since then does not
                // support the lookup by time.
                None if low < high && written_at(0)?.is_none() => Err(NO_TIMES),
                None => Ok(high),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_words_offsets_and_times() {
        assert_eq!("earliest".parse(), Ok(Bound::Earliest));
        assert_eq!("latest".parse(), Ok(Bound::Latest));
        assert_eq!("42".parse(), Ok(Bound::Offset(42)));
        assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(Bound::Timestamp(1_000)));
        assert!("tomorrow".parse::<Bound>().is_err());
    }
}
