//! The offsets of a partition: what is committed, and the queries for them, which block.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::extent::Extent;
use crate::native;

/// The metadata of a commit: how many partitions the topic had when the group began to read it.
/// Partitions that were added later are read from their beginning, also if `start` is `latest`.
const PARTITIONS_PREFIX: &str = "partitions=";

/// The metadata of the commits of a group that began with this number of partitions.
fn metadata(partitions: i32) -> String {
    format!("{PARTITIONS_PREFIX}{partitions}")
}

/// The offset of one partition that is to be committed.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub topic: Arc<str>,
    pub partition: i32,
    /// The offset, and the leader epoch of the record before it.
    pub extent: Extent,
    pub partitions_at_start: Option<i32>,
}

/// The list that commits offsets, with their leader epochs and metadata.
pub(crate) fn to_commit<'a>(
    commits: impl IntoIterator<Item = &'a Commit>,
) -> KafkaResult<TopicPartitionList> {
    let mut offsets = TopicPartitionList::new();
    for Commit { topic, partition, extent, partitions_at_start } in commits {
        offsets.add_partition_offset(topic, *partition, Offset::Offset(extent.end))?;
        if let (Some(partitions), Some(mut partition)) =
            (partitions_at_start, offsets.find_partition(topic, *partition))
        {
            partition.set_metadata(metadata(*partitions));
        }
        native::set_last_leader_epoch(&mut offsets, extent.epoch);
    }
    Ok(offsets)
}

/// How many partitions the topic had when the group began to read it, according to the metadata of
/// its commits. `None` if the group has committed nothing for the topic, or if its commits have no
/// such metadata.
pub(crate) fn partitions_at_start<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topic: &str,
    partitions: i32,
    timeout: Duration,
) -> KafkaResult<Option<i32>> {
    let committed = committed_of_all(consumer, topic, partitions, timeout)?;
    let numbers = committed
        .elements()
        .into_iter()
        .filter_map(|partition| partition.metadata().strip_prefix(PARTITIONS_PREFIX)?.parse().ok());
    // Members that began while partitions were being added may have committed different numbers.
    Ok(numbers.min())
}

/// Whether the group has committed an offset of one of the topic's partitions.
pub(crate) fn has_committed<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topic: &str,
    partitions: i32,
    timeout: Duration,
) -> KafkaResult<bool> {
    let committed = committed_of_all(consumer, topic, partitions, timeout)?;
    Ok(committed.elements().iter().any(|partition| matches!(partition.offset(), Offset::Offset(_))))
}

fn committed_of_all<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topic: &str,
    partitions: i32,
    timeout: Duration,
) -> KafkaResult<TopicPartitionList> {
    let mut request = TopicPartitionList::new();
    for partition in 0..partitions {
        request.add_partition(topic, partition);
    }
    consumer.committed_offsets(request, timeout)
}

/// The number of the topic's partitions.
pub(crate) fn partitions<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topic: &str,
    timeout: Duration,
) -> KafkaResult<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), timeout)?;
    let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    // The topic is just being created, or was deleted.
    if count == 0 {
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
    }
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}

/// The group's committed offset, with the leader epoch that was committed.
pub(crate) fn committed<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topic: &str,
    partition: i32,
    timeout: Duration,
) -> KafkaResult<Option<Extent>> {
    let mut request = TopicPartitionList::new();
    request.add_partition(topic, partition);
    let committed = consumer.committed_offsets(request, timeout)?;
    let epoch = native::leader_epoch(&committed);
    Ok(only_offset(&committed)?.map(|end| Extent { end, epoch }))
}

/// The offset of the first record that was written at this time or later. Kafka supports no times
/// before 1970; an earlier time is replaced by 1970-01-01.
pub(crate) fn written_at<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topic: &str,
    partition: i32,
    timestamp_ms: i64,
    timeout: Duration,
) -> KafkaResult<Option<i64>> {
    let mut request = TopicPartitionList::new();
    request.add_partition_offset(topic, partition, Offset::Offset(timestamp_ms.max(0)))?;
    only_offset(&consumer.offsets_for_times(request, timeout)?)
}

/// The answer for the one partition of the request.
fn only_offset(answer: &TopicPartitionList) -> KafkaResult<Option<i64>> {
    let elements = answer.elements();
    let offset = elements.first().ok_or(KafkaError::NoMessageReceived)?;
    offset.error()?;
    Ok(match offset.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_carries_the_epoch_and_the_number_of_partitions() {
        let commit = |partition, extent, partitions_at_start| Commit {
            topic: "sales".into(),
            partition,
            extent,
            partitions_at_start,
        };
        let first = commit(2, Extent { end: 9, epoch: 4 }, Some(3));
        let second = commit(1, Extent::up_to(7), None);
        let list = to_commit([&first, &second]).unwrap();
        let elements = list.elements();
        assert_eq!((elements.len(), elements[0].offset()), (2, Offset::Offset(9)));
        assert_eq!((elements[1].partition(), elements[1].offset()), (1, Offset::Offset(7)));
        assert_eq!((elements[0].metadata(), elements[1].metadata()), ("partitions=3", ""));
        assert_eq!(native::leader_epoch(&list), 4);
        assert!(native::leader_epoch(&to_commit([&second]).unwrap()) < 0);
    }
}
