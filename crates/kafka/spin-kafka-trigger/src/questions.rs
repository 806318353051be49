//! Queries of a partition's task to the cluster, and its commands to the client.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use crate::backoff::Backoff;
use crate::extent::Extent;
use crate::group::Consumer;
use crate::partition::{Cursor, Halt, Partition};
use crate::{native, offsets};

/// How long one query may take.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The first pause after a query without an answer.
const ASK_BACKOFF: Duration = Duration::from_millis(5);
/// The longest pause after a query without an answer.
const ASK_BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Number of failed queries before the log level rises above debug: the first ones fail while a
/// partition has only just been assigned.
pub(crate) const ASKS_QUIET: u32 = 6;

/// A query that is repeated until the cluster answers.
pub(crate) struct Patience {
    what: &'static str,
    backoff: Backoff,
}

impl Patience {
    pub fn new(what: &'static str) -> Self {
        Self { what, backoff: Backoff::new(ASK_BACKOFF, ASK_BACKOFF_MAX) }
    }
}

impl Partition {
    /// Makes the client fetch from the cursor's position and drops what it fetched before. If the
    /// leader's log does not contain what was read before, the client goes back to the offset at
    /// which the logs diverge.
    pub async fn seek(&self, cursor: &Cursor) -> Result<(), Halt> {
        let (topic, partition, position) = (self.topic.clone(), self.number, cursor.read_from);
        let epoch = cursor.read.epoch_at(position);
        self.ask("seek", move |consumer| {
            let mut sought = TopicPartitionList::new();
            sought.add_partition_offset(&topic, partition, Offset::Offset(position))?;
            native::set_leader_epoch(&mut sought, epoch);
            let sought = consumer.seek_partitions(sought, ANSWER_TIMEOUT)?;
            sought.elements().iter().try_for_each(|partition| partition.error())
        })
        .await
    }

    /// Stops fetching and drops what was fetched, until the partition's next turn.
    pub async fn suspend(&self) -> Result<(), Halt> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.ask("pause", move |consumer| {
            let mut paused = TopicPartitionList::new();
            paused.add_partition(&topic, partition);
            consumer.pause(&paused)
        })
        .await
    }

    /// Lets the client fetch. A partition is paused from its assignment until its position is
    /// known.
    pub async fn resume(&self) -> Result<(), Halt> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.ask("resume", move |consumer| {
            let mut resumed = TopicPartitionList::new();
            resumed.add_partition(&topic, partition);
            consumer.resume(&resumed)
        })
        .await
    }

    /// The offset of the first record that was written at this time or later.
    pub async fn written_at(&self, timestamp_ms: i64) -> Result<Option<i64>, Halt> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.ask("offset for the time", move |consumer| {
            offsets::written_at(consumer, &topic, partition, timestamp_ms, ANSWER_TIMEOUT)
        })
        .await
    }

    pub async fn watermarks(&self) -> Result<(i64, i64), Halt> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.ask("watermarks", move |consumer| {
            consumer.fetch_watermarks(&topic, partition, ANSWER_TIMEOUT)
        })
        .await
    }

    /// The group's committed offset, with the leader epoch that was committed.
    pub async fn committed(&self) -> Result<Option<Extent>, Halt> {
        let (topic, partition) = (self.topic.clone(), self.number);
        self.ask("committed offset", move |consumer| {
            offsets::committed(consumer, &topic, partition, ANSWER_TIMEOUT)
        })
        .await
    }

    /// Repeats the query until the cluster answers. Other partitions continue in the meantime.
    pub async fn ask<T: Send + 'static>(
        &self,
        what: &'static str,
        question: impl Fn(&Consumer) -> KafkaResult<T> + Send + Sync + 'static,
    ) -> Result<T, Halt> {
        let question = Arc::new(question);
        let mut patience = Patience::new(what);
        loop {
            let (consumer, question) = (self.consumer.clone(), question.clone());
            let reason = match tokio::task::spawn_blocking(move || question(&consumer)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            self.wait(&mut patience, reason).await?;
        }
    }

    /// Waits before the query is repeated.
    pub async fn wait(&self, patience: &mut Patience, reason: String) -> Result<(), Halt> {
        let Patience { what, backoff } = patience;
        let (topic, partition, pause) = (&self.topic, self.number, backoff.next());
        if backoff.attempts() <= ASKS_QUIET {
            tracing::debug!(%topic, partition, what, reason, "no answer yet; asking again");
        } else {
            tracing::warn!(%topic, partition, what, reason, "no answer yet; asking again");
        }
        self.pause(pause).await
    }
}
