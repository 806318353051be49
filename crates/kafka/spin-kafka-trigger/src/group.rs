//! Membership in the consumer group: handles assignments and revocations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

use kafka_client::{ClientSettings, Error as ClientError};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use crate::consumer::{self, Consumer, Membership};
use crate::engine::Engine;
use crate::partition::PartitionTask;
use crate::running::{self, Running};
use crate::{Error, client_config};

type TopicPartition = (Arc<str>, i32);

/// The partitions that this member owns.
pub(crate) struct Group {
    engine: Arc<Engine>,
    consumer: OnceLock<Weak<Consumer>>,
    running: Mutex<HashMap<TopicPartition, Running>>,
}

impl Group {
    /// Creates a subscribed client. It joins the group when it is polled for the first time.
    pub fn join(engine: Arc<Engine>) -> Result<Arc<Consumer>, Error> {
        let config = engine.config.clone();
        let consumer = Self::client(engine, &client_config::consumer(&config))?;
        let subscribed = consumer::subscribe(&config, &consumer);
        subscribed.map_err(|error| ClientError::Client {
            brokers: config.brokers.clone(),
            reason: error.to_string(),
        })?;
        Ok(consumer)
    }

    /// Creates a client that never joins the group.
    pub fn without_membership(engine: Arc<Engine>) -> Result<Arc<Consumer>, Error> {
        let native = client_config::reader(&engine.config);
        Self::client(engine, &native)
    }

    fn client(engine: Arc<Engine>, native: &ClientSettings) -> Result<Arc<Consumer>, Error> {
        let config = engine.config.clone();
        let running = Mutex::default();
        let group = Arc::new(Self { engine, consumer: OnceLock::new(), running });
        let consumer = consumer::create(&config, native, group.clone())?;
        group.consumer.get_or_init(|| Arc::downgrade(&consumer));
        Ok(consumer)
    }

    /// Starts a task for each partition. Reading begins after the task has determined its position.
    fn assign(&self, consumer: &Consumer, assigned: &TopicPartitionList) -> KafkaResult<()> {
        // The client is being closed if it has no other owner; no task must start then.
        let Some(owner) = self.consumer.get().and_then(Weak::upgrade) else {
            return consumer.incremental_assign(assigned);
        };
        // The queues are split before the assignment, so that librdkafka never puts a record into
        // the main queue.
        let mut tasks = Vec::new();
        for assigned in assigned.elements() {
            let (topic, number) = (assigned.topic(), assigned.partition());
            match PartitionTask::split(&self.engine, &owner, topic, number, None) {
                Some(task) => tasks.push(task),
                None => {
                    self.engine.fail_group(format!("librdkafka has no queue for {topic}/{number}"))
                }
            }
        }
        // The partitions are paused before they are assigned, so that nothing is fetched until each
        // task has its position. Until then the offset is not used, but it must be a number.
        // `Offset::End` would make librdkafka request the end offset; if the answer arrived after
        // the task's seek, librdkafka would query again and continue at the end, and would skip
        // unread records.
        consumer.pause(assigned)?;
        let mut at_zero = TopicPartitionList::new();
        for partition in assigned.elements() {
            let (topic, number) = (partition.topic(), partition.partition());
            at_zero.add_partition_offset(topic, number, Offset::Offset(0))?;
        }
        consumer.incremental_assign(&at_zero)?;
        let mut running = self.lock();
        for (task, ended) in tasks {
            let (topic, partition) = task.topic_partition();
            tracing::info!(%topic, partition, "assigned");
            running.insert((topic, partition), Running::spawn(&self.engine, task, ended));
        }
        Ok(())
    }

    fn revoke(&self, consumer: &Consumer, revoked: &TopicPartitionList) -> KafkaResult<()> {
        let running = self.take(revoked);
        if consumer.assignment_lost() {
            tracing::warn!(partitions = running.len(), "assignment lost");
            running::lose(running, self.engine.config.drain_deadline);
        } else {
            self.stop(consumer, running);
        }
        consumer.incremental_unassign(revoked)
    }

    fn take(&self, revoked: &TopicPartitionList) -> Vec<Running> {
        let mut running = self.lock();
        revoked
            .elements()
            .iter()
            .filter_map(|partition| {
                let key = (Arc::from(partition.topic()), partition.partition());
                running.remove(&key)
            })
            .collect()
    }

    /// Waits for batches in flight within the drain deadline, then commits what was applied.
    fn stop(&self, consumer: &Consumer, running: Vec<Running>) {
        if running.is_empty() {
            return;
        }
        let partitions = running.len();
        running::drain(running, self.engine.config.drain_deadline);
        match consumer.commit_consumer_state(CommitMode::Sync) {
            // `NoOffset` means that no offset was stored since the last commit.
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => self.commit_failed(&error),
        }
        tracing::info!(partitions, "partitions stopped");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TopicPartition, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership for Group {
    fn rebalance(
        &self,
        consumer: &Consumer,
        event: RDKafkaRespErr,
        partitions: &TopicPartitionList,
    ) {
        self.engine.metrics.rebalances.inc();
        let begun = Instant::now();
        let done = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.assign(consumer, partitions)
            }
            _ => self.revoke(consumer, partitions),
        };
        self.engine.metrics.rebalance_seconds.observe(begun.elapsed().as_secs_f64());
        if let Err(error) = done {
            self.engine.fail_group(format!("rebalance failed: {error}"));
        }
    }

    fn commit_failed(&self, error: &KafkaError) {
        self.engine.metrics.commit_failures.inc();
        tracing::warn!(%error, group = %self.engine.config.group, "offsets were not committed");
    }

    fn drain(&self, consumer: &Consumer) {
        let running = self.lock().drain().map(|(_, running)| running).collect();
        self.stop(consumer, running);
    }
}
