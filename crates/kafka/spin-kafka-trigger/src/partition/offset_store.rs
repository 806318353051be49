//! Stores the offsets of one partition for the next commit, or commits them in transactions, and
//! publishes its progress.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};

use super::applier::{PartitionPosition, TransactionWriter};
use super::context::{TaskContext, TaskEnd};
use super::handler_calls::FailureCause;
use super::output::Output;
use crate::consumer::Consumer;
use crate::extent::Extent;
use crate::lease::Lease;
use crate::offsets::{self, Commit};
use crate::partition_status::PartitionStatus;
use crate::refusal::{advice, is_too_large};
use crate::transactions::{Fault, Request};
use crate::{FailureClass, OutgoingRecord};

/// Stores the offsets of one partition for the next commit, and publishes its progress.
pub(crate) struct OffsetStore {
    ctx: Arc<TaskContext>,
    pub lease: Arc<Lease>,
    pub status: Arc<PartitionStatus>,
    /// How many partitions the topic had when the group began to read it. Set only if `start` is
    /// `latest`.
    pub partitions_at_start: OnceLock<i32>,
    /// Output up to this offset is written in transactions without other partitions, because a
    /// broker refused a part of it.
    alone_up_to: AtomicI64,
}

impl OffsetStore {
    /// Also adds the partition to the progress of the engine.
    pub fn new(ctx: Arc<TaskContext>) -> Self {
        let status = ctx.engine.progress.add(&ctx.topic, ctx.number);
        Self {
            ctx,
            lease: Arc::new(Lease::new()),
            status,
            partitions_at_start: OnceLock::new(),
            alone_up_to: AtomicI64::new(0),
        }
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

    /// Commits the offset at once. Nothing else of the partition may be in progress.
    pub async fn commit(&self, offset: i64, read: Extent) -> Result<(), TaskEnd> {
        let offsets = self.to_commit(offset, read);
        let commit =
            move |consumer: &Consumer| consumer.commit(&offsets.clone()?, CommitMode::Sync);
        self.ctx.query("commit", commit).await
    }

    /// The offset with the leader epoch and the metadata of a commit.
    fn to_commit(&self, offset: i64, read: Extent) -> KafkaResult<TopicPartitionList> {
        offsets::to_commit([&self.commit_of(offset, read)])
    }

    fn commit_of(&self, offset: i64, read: Extent) -> Commit {
        Commit {
            topic: self.ctx.topic.clone(),
            partition: self.ctx.number,
            extent: Extent { end: offset, epoch: read.epoch_at(offset) },
            partitions_at_start: self.partitions_at_start.get().copied(),
        }
    }

    /// Writes the output in one transaction with the offset, and repeats that until it is written
    /// or a broker refuses a record of the handler.
    ///
    /// A broker refuses a whole batch of records, in which those of other partitions may be. So a
    /// refusal counts only in a transaction without them. What failed for another reason is also
    /// repeated alone, so that it fails for the others only once.
    async fn write_output(
        &self,
        output: Output<'_>,
        offset: i64,
        read: Extent,
    ) -> Result<Result<(), FailureCause>, TaskEnd> {
        let engine = &self.ctx.engine;
        let Some(transactions) = &engine.transactions else {
            return Err(self.ctx.handler_error(offset, "records can be written only from Kafka"));
        };
        let letter_topic = engine.config.dead_letter_topic_of(&self.ctx.topic);
        let mut short = BTreeSet::new();
        let mut backoff = self.ctx.retry_backoff();
        let mut is_alone = offset <= self.alone_up_to.load(Ordering::Relaxed);
        loop {
            let is_short = |index: usize| short.contains(&index);
            let records = output.to_write(&engine.config.group, &letter_topic, &is_short);
            let written = transactions.write(Request {
                consumer: Arc::downgrade(&self.ctx.consumer),
                lease: self.lease.clone(),
                commit: self.commit_of(offset, read),
                records,
                is_alone,
            });
            let was_alone = std::mem::replace(&mut is_alone, true);
            let (reason, advice) = match written.await {
                Ok(()) => break,
                Err(Fault::Refused { .. }) if !was_alone => {
                    self.alone_up_to.fetch_max(offset, Ordering::Relaxed);
                    continue;
                }
                Err(Fault::Refused { index, error }) => {
                    let Some(letter) = index.checked_sub(output.records.len()) else {
                        return Ok(Err(refused(&output.records, index, &error)));
                    };
                    if is_too_large(&error) && short.insert(letter) {
                        output.letters.get(letter).inspect(|l| l.warn_short(&letter_topic));
                        continue;
                    }
                    (format!("{letter_topic}: {error}"), advice(&error))
                }
                Err(Fault::Aborted { reason, advice }) => (reason, advice),
                Err(Fault::Ended) => {
                    let reason = "the task that writes transactions has ended";
                    return Err(engine.group_error(reason).into());
                }
                Err(Fault::Unknown { reason, advice }) => {
                    let committed = self.ctx.committed().await?;
                    if committed.is_some_and(|committed| committed.end >= offset) {
                        break;
                    }
                    (reason, advice)
                }
            };
            let pause = backoff.next_pause();
            tracing::warn!(
                topic = %self.ctx.topic,
                partition = self.ctx.number,
                offset,
                attempts = backoff.attempts(),
                pause_ms = pause.as_millis(),
                reason,
                advice,
                "the transaction was not committed; writing it again"
            );
            self.ctx.pause(pause).await?;
        }
        engine.metrics.output_records.inc_by(output.records.len() as u64);
        engine.metrics.dead_letters.inc_by(output.letters.len() as u64);
        Ok(Ok(()))
    }
}

/// The failure of a batch because of a record that the handler returned.
fn refused(records: &[OutgoingRecord], index: usize, error: &KafkaError) -> FailureCause {
    let topic = records.get(index).map_or("", |record| &record.topic);
    let reason = format!(
        "topic `{topic}` does not accept a record that the handler returned: {error}; {}",
        advice(error)
    );
    FailureCause { class: FailureClass::Output, reason }
}

impl PartitionPosition for OffsetStore {
    fn advance(&self, offset: i64, read: Extent) {
        if self.ctx.engine.transactions.is_none() {
            self.store(offset, read);
        }
        self.status.advance(offset);
    }
}

impl TransactionWriter for OffsetStore {
    fn write<'a>(
        &'a self,
        output: Output<'a>,
        offset: i64,
        read: Extent,
    ) -> BoxFuture<'a, Result<Result<(), FailureCause>, TaskEnd>> {
        self.write_output(output, offset, read).boxed()
    }
}
