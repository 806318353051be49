//! What all parts of a partition's task share: the partition, the end of the task, and the queries
//! and commands to the client.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::SemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::cursor::Cursor;
use crate::backoff::Backoff;
use crate::consumer::Consumer;
use crate::engine::Engine;
use crate::extent::Extent;
use crate::query::{ANSWER_TIMEOUT, QueryRetry};
use crate::{Error, native, offsets};

/// Why a partition's task ends.
pub(crate) enum TaskEnd {
    /// The partition is revoked, or the engine drains.
    Stopped,
    /// The engine must stop.
    Failed(Error),
}

impl From<Error> for TaskEnd {
    fn from(error: Error) -> Self {
        TaskEnd::Failed(error)
    }
}

/// What all parts of a partition's task share. The parts that only call the handler need no Kafka
/// client, so `C` can be `()` for them.
pub(crate) struct TaskContext<C = Arc<Consumer>> {
    pub engine: Arc<Engine>,
    pub consumer: C,
    pub topic: Arc<str>,
    pub number: i32,
    /// Cancelled when the partition is revoked or the engine drains.
    pub stop: CancellationToken,
    /// Whether a range of the log is read again, outside the group.
    pub is_replay: bool,
}

impl<C> TaskContext<C> {
    /// An error of the handler at `offset`.
    pub fn handler_error(&self, offset: i64, reason: impl Into<String>) -> TaskEnd {
        TaskEnd::Failed(Error::Handler {
            topic: self.topic.to_string(),
            partition: self.number,
            offset,
            reason: reason.into(),
        })
    }

    /// Waits; fails if the partition is revoked in the meantime.
    pub async fn pause(&self, pause: Duration) -> Result<(), TaskEnd> {
        tokio::select! {
            () = self.stop.cancelled() => Err(TaskEnd::Stopped),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }

    /// The pauses between attempts of the handler's calls.
    pub fn retry_backoff(&self) -> Backoff {
        let config = &self.engine.config;
        Backoff::new(config.retry_backoff, config.retry_backoff_max)
    }

    /// Waits until fewer than `concurrency_max` calls of the handler are running.
    pub async fn call_permit(&self) -> Result<Option<SemaphorePermit<'_>>, TaskEnd> {
        tokio::select! {
            () = self.stop.cancelled() => Err(TaskEnd::Stopped),
            // `acquire` fails only if the semaphore is closed, and no code closes it.
            permit = self.engine.calls.acquire() => Ok(permit.ok()),
        }
    }
}

impl TaskContext {
    /// Makes the client fetch from the cursor's position and drops what it fetched before. If the
    /// leader's log does not contain what was read before, the client seeks back to the offset at
    /// which the logs diverge.
    pub async fn seek(&self, cursor: &Cursor) -> Result<(), TaskEnd> {
        let (topic, partition, position) = (self.topic.clone(), self.number, cursor.read_from);
        let epoch = cursor.read.epoch_at(position);
        self.query("seek", move |consumer| {
            let mut sought = TopicPartitionList::new();
            sought.add_partition_offset(&topic, partition, Offset::Offset(position))?;
            native::set_last_leader_epoch(&mut sought, epoch);
            let sought = consumer.seek_partitions(sought, ANSWER_TIMEOUT)?;
            sought.elements().iter().try_for_each(|partition| partition.error())
        })
        .await
    }

    /// Stops fetching and drops what was fetched, until the partition's next turn.
    pub async fn pause_fetching(&self) -> Result<(), TaskEnd> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.query("pause", move |consumer| {
            let mut paused = TopicPartitionList::new();
            paused.add_partition(&topic, partition);
            consumer.pause(&paused)
        })
        .await
    }

    /// Lets the client fetch. A partition is paused from its assignment until its position is
    /// known.
    pub async fn resume_fetching(&self) -> Result<(), TaskEnd> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.query("resume", move |consumer| {
            let mut resumed = TopicPartitionList::new();
            resumed.add_partition(&topic, partition);
            consumer.resume(&resumed)
        })
        .await
    }

    /// The offset of the first record that was written at this time or later.
    pub async fn written_at(&self, timestamp_ms: i64) -> Result<Option<i64>, TaskEnd> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.query("offset for the time", move |consumer| {
            offsets::written_at(consumer, &topic, partition, timestamp_ms, ANSWER_TIMEOUT)
        })
        .await
    }

    /// The lowest and the highest offset of the log.
    pub async fn watermarks(&self) -> Result<(i64, i64), TaskEnd> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.query("watermarks", move |consumer| {
            consumer.fetch_watermarks(&topic, partition, ANSWER_TIMEOUT)
        })
        .await
    }

    /// The group's committed offset, with the leader epoch that was committed.
    pub async fn committed(&self) -> Result<Option<Extent>, TaskEnd> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.query("committed offset", move |consumer| {
            offsets::committed(consumer, &topic, partition, ANSWER_TIMEOUT)
        })
        .await
    }

    /// Repeats the query until the cluster answers. Other partitions continue in the meantime.
    pub async fn query<T: Send + 'static>(
        &self,
        what: &'static str,
        query: impl Fn(&Consumer) -> KafkaResult<T> + Send + Sync + 'static,
    ) -> Result<T, TaskEnd> {
        let query = Arc::new(query);
        let mut retry = QueryRetry::new(what);
        loop {
            let (consumer, query) = (self.consumer.clone(), query.clone());
            let reason = match tokio::task::spawn_blocking(move || query(&consumer)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            self.pause(retry.failed(&self.topic, self.number, &reason)).await?;
        }
    }
}
