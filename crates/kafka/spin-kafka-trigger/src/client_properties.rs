//! The librdkafka properties that the engine determines, and the memory that librdkafka needs with
//! them.

use kafka_client::{ClientProperties, OwnedProperty, Secret};

use crate::content::BUFFER_BYTES;

/// At most `queue_bytes_max` divided by this number of records are fetched ahead. With a third of
/// that limit the handler spent two fifths of its time waiting for records (`cargo xtask bench`,
/// drain).
const QUEUED_RECORD_BYTES: usize = 160;
/// Approximate memory that librdkafka needs for a queued record besides the record's bytes.
const RECORD_OVERHEAD_BYTES: usize = 512;
/// librdkafka's default `fetch.message.max.bytes`.
const FETCH_BYTES: usize = 1024 * 1024;
/// Memory of a fetch that is unpacked into records of 100 bytes, as a multiple of the fetch's size.
const FETCH_FACTOR: usize = 6;

/// Properties that the engine sets, and the setting that determines each.
pub(crate) const OWNED: [OwnedProperty; 15] = [
    ("auto.commit.interval.ms", Some("commit_interval_ms")),
    ("auto.offset.reset", Some("start")),
    ("enable.auto.commit", None),
    ("enable.auto.offset.store", None),
    ("enable.partition.eof", None),
    ("group.id", Some("group")),
    ("group.instance.id", Some("instance_id")),
    ("group.protocol", Some("group_protocol")),
    ("partition.assignment.strategy", None),
    ("partitioner", None),
    ("queued.max.messages.kbytes", Some("queue_bytes_max")),
    ("queued.min.messages", Some("queue_bytes_max")),
    ("session.timeout.ms", Some("session_timeout_ms")),
    ("transaction.timeout.ms", Some("transaction_timeout_ms")),
    ("transactional.id", None),
];

/// The most records of a partition that are fetched ahead.
pub(crate) fn queued_records(queue_bytes_max: usize) -> usize {
    (queue_bytes_max / QUEUED_RECORD_BYTES).max(1)
}

/// The most memory that a partition needs while it is read: its queue, the fetch that exceeds the
/// queue's limit, a batch that is gathered while another is with the handler, and the buffers that
/// records share: that of the queue, and for each of the two batches one that is partly in use.
pub(crate) fn partition_bytes_max(
    queue_bytes_max: usize,
    batch_bytes_max: usize,
    client: &ClientProperties,
) -> usize {
    let fetch = client.get("fetch.message.max.bytes").map(Secret::expose);
    let fetch = fetch.and_then(|text| text.parse().ok()).unwrap_or(FETCH_BYTES);
    let records = queued_records(queue_bytes_max).saturating_mul(RECORD_OVERHEAD_BYTES);
    queue_bytes_max
        .saturating_add(records)
        .saturating_add(fetch.saturating_mul(FETCH_FACTOR))
        .saturating_add(batch_bytes_max.saturating_mul(2))
        .saturating_add(3 * BUFFER_BYTES)
}
