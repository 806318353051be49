//! Stores the offsets of one partition for the next commit, and publishes its progress.

use std::sync::{Arc, OnceLock};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;

use super::applier::PartitionPosition;
use super::context::TaskContext;
use crate::extent::Extent;
use crate::lease::Lease;
use crate::offsets;
use crate::partition_status::PartitionStatus;

/// Stores the offsets of one partition for the next commit, and publishes its progress.
pub(crate) struct OffsetStore {
    ctx: Arc<TaskContext>,
    pub lease: Arc<Lease>,
    pub status: Arc<PartitionStatus>,
    /// How many partitions the topic had when the group began to read it. Set only if `start` is
    /// `latest`.
    pub partitions_at_start: OnceLock<i32>,
}

impl OffsetStore {
    /// Also adds the partition to the progress of the engine.
    pub fn new(ctx: Arc<TaskContext>) -> Self {
        let status = ctx.engine.progress.add(&ctx.topic, ctx.number);
        Self { ctx, lease: Arc::new(Lease::new()), status, partitions_at_start: OnceLock::new() }
    }

    /// Stores the offset for the next commit, unless the partition was revoked.
    pub fn store(&self, offset: i64, read: Extent) {
        let (topic, partition) = (&self.ctx.topic, self.ctx.number);
        let offsets = self.to_commit(offset, read);
        let is_held = self.lease.while_held(|| {
            let stored = offsets.and_then(|offsets| self.ctx.consumer.store_offsets(&offsets));
            if let Err(error) = stored {
                tracing::warn!(%topic, partition, offset, %error, "offset was not stored");
            }
        });
        if !is_held {
            tracing::debug!(%topic, partition, offset, "too late to store the offset");
        }
    }

    /// The offset with the leader epoch and the metadata of a commit.
    pub fn to_commit(&self, offset: i64, read: Extent) -> KafkaResult<TopicPartitionList> {
        let commit = Extent { end: offset, epoch: read.epoch_at(offset) };
        let partitions_at_start = self.partitions_at_start.get().copied();
        offsets::to_commit(&self.ctx.topic, self.ctx.number, commit, partitions_at_start)
    }
}

impl PartitionPosition for OffsetStore {
    fn advance(&self, offset: i64, read: Extent) {
        self.store(offset, read);
        self.status.advance(offset);
    }
}
