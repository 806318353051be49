//! Applies the records of one partition to Valkey, on its own thread.

use std::time::Duration;

use aggregate::{Known, OffsetRange, Record, RetentionLimits, Source, Step, Update};
use anyhow::{Context as _, Result, bail};
use intake::request::IDEMPOTENCY_KEY;
use rdkafka::Message as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{Consumer as _, DefaultConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Headers as _};

use crate::drain::{Consumer, Progress};
use crate::store::Store;

/// Maximum number of records in a batch, like the trigger's default.
const BATCH_RECORDS_MAX: usize = 1_000;

/// Maximum time that a batch with at least one record waits for more, like the trigger's default.
const BATCH_WAIT: Duration = Duration::from_millis(5);

/// Interval at which an idle partition checks whether the end is reached.
const IDLE: Duration = Duration::from_millis(50);

/// The parameters of one partition.
pub struct Partition {
    /// The client that reads all partitions.
    pub consumer: Consumer,
    /// This partition's records.
    pub queue: PartitionQueue<DefaultConsumerContext>,
    /// This partition's connection.
    pub store: Store,
    /// The group and the topic for which the position is stored.
    pub source: Source,
    /// The first offset to read.
    pub position: i64,
}

impl Partition {
    /// Applies batches until all partitions together have applied enough records.
    pub fn run(self, progress: &Progress) -> Result<()> {
        let Self { consumer, queue, mut store, source, mut position } = self;
        let mut known = Known::default();
        while !progress.is_done() {
            let batch = next_batch(&queue)
                .with_context(|| format!("cannot read {}/{}", source.topic, source.partition))?;
            let Some(last) = batch.last().map(BorrowedMessage::offset) else {
                continue;
            };
            progress.started()?;
            let range = OffsetRange { start: position, end: last + 1, expected_position: None };
            let records = batch.iter().map(record);
            let update =
                Update::from_records(source.clone(), range, RetentionLimits::default(), records);
            apply(update, &mut store, &mut known)
                .with_context(|| format!("{}/{}", source.topic, source.partition))?;
            consumer
                .store_offset(&source.topic, source.partition, last)
                .context("cannot store the offset to commit")?;
            position = last + 1;
            progress.applied(batch.len());
        }
        Ok(())
    }
}

fn record<'a>(message: &'a BorrowedMessage<'_>) -> Record<'a> {
    let key = message
        .headers()
        .and_then(|headers| headers.iter().find(|header| header.key == IDEMPOTENCY_KEY)?.value);
    Record {
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
        idempotency_key: key,
        value: message.payload(),
    }
}

/// The next records, at most one batch; empty if the partition is idle.
fn next_batch(
    queue: &PartitionQueue<DefaultConsumerContext>,
) -> KafkaResult<Vec<BorrowedMessage<'_>>> {
    let mut batch = Vec::with_capacity(BATCH_RECORDS_MAX);
    let mut wait = IDLE;
    while batch.len() < BATCH_RECORDS_MAX {
        match queue.poll(wait) {
            Some(record) => batch.push(record?),
            None => break,
        }
        wait = BATCH_WAIT;
    }
    Ok(batch)
}

fn apply(mut update: Update, store: &mut Store, known: &mut Known) -> Result<()> {
    loop {
        let reply = store.call(&update.command(known)?)?;
        match update.reply(reply, known)? {
            Step::Send | Step::Run => {}
            Step::Done => break,
            Step::Lost => {
                bail!("the script reports a lost position, although the batch may be the first one")
            }
            Step::Rewind(position) => {
                bail!(
                    "the store lost its last writes and is at position {position}; use one that \
                     keeps them"
                )
            }
        }
    }
    for rejection in update.rejections() {
        tracing::warn!(
            offset = rejection.offset,
            reason = rejection.reason,
            "the record is not a sale"
        );
    }
    Ok(())
}
