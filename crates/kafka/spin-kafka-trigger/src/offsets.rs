//! Queries for the offsets of a partition. They block.

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
pub(crate) fn metadata(partitions: i32) -> String {
    format!("{PARTITIONS_PREFIX}{partitions}")
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
    let mut asked = TopicPartitionList::new();
    for partition in 0..partitions {
        asked.add_partition(topic, partition);
    }
    let answered = consumer.committed_offsets(asked, timeout)?;
    let said = answered
        .elements()
        .into_iter()
        .filter_map(|partition| partition.metadata().strip_prefix(PARTITIONS_PREFIX)?.parse().ok());
    // Members that began while partitions were being added may have committed different numbers.
    Ok(said.min())
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
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, partition);
    let answered = consumer.committed_offsets(asked, timeout)?;
    let epoch = native::leader_epoch(&answered);
    Ok(only_offset(&answered)?.map(|end| Extent { end, epoch }))
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
    let mut asked = TopicPartitionList::new();
    asked.add_partition_offset(topic, partition, Offset::Offset(timestamp_ms.max(0)))?;
    only_offset(&consumer.offsets_for_times(asked, timeout)?)
}

/// The answer for the one partition of the request.
fn only_offset(answered: &TopicPartitionList) -> KafkaResult<Option<i64>> {
    let answered = answered.elements();
    let offset = answered.first().ok_or(KafkaError::NoMessageReceived)?;
    offset.error()?;
    Ok(match offset.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    })
}
