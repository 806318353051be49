//! Questions about a partition's offsets, put to the cluster. They block.

use std::time::Duration;

use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};

/// The group's committed offset.
pub(crate) fn committed<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topic: &str,
    partition: i32,
    timeout: Duration,
) -> KafkaResult<Option<i64>> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, partition);
    only_offset(consumer.committed_offsets(asked, timeout)?)
}

/// The offset of the first record that was written at this time or later. Kafka knows no time
/// before 1970: an earlier one is taken for its beginning.
pub(crate) fn written_at<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topic: &str,
    partition: i32,
    timestamp_ms: i64,
    timeout: Duration,
) -> KafkaResult<Option<i64>> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_offset(topic, partition, Offset::Offset(timestamp_ms.max(0)))?;
    only_offset(consumer.offsets_for_times(asked, timeout)?)
}

/// The answer about the one partition that was asked about.
fn only_offset(answered: TopicPartitionList) -> KafkaResult<Option<i64>> {
    let answered = answered.elements();
    let offset = answered.first().ok_or(KafkaError::NoMessageReceived)?;
    offset.error()?;
    Ok(match offset.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    })
}
