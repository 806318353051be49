//! Membership in the consumer group: handles assignments and revocations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

use kafka_client::ClientLog;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::engine::Engine;
use crate::partition::Partition;
use crate::running::{self, Running};
use crate::{Config, Error, client_config, oauth, topics};

/// The Kafka client of a running engine.
pub(crate) type Consumer = BaseConsumer<Group>;

type TopicPartition = (Arc<str>, i32);

/// The partitions that this member owns, and the callbacks of librdkafka. All callbacks run on the
/// poll thread, one at a time.
pub(crate) struct Group {
    engine: Arc<Engine>,
    consumer: OnceLock<Weak<Consumer>>,
    running: Mutex<HashMap<TopicPartition, Running>>,
    log: ClientLog,
}

impl Group {
    /// Creates a subscribed client. It joins the group when it is polled for the first time.
    pub fn join(engine: Arc<Engine>) -> Result<Arc<Consumer>, Error> {
        let config = engine.config.clone();
        let consumer = Self::client(engine, &client_config::consumer(&config))?;
        let subscribed = subscribe(&config, &consumer);
        subscribed.map_err(|error| Error::client(&config.brokers, &config.client, error))?;
        Ok(consumer)
    }

    /// Leaves the group and joins it again, which causes a new assignment.
    pub fn rejoin(engine: &Engine, consumer: &Consumer) -> KafkaResult<()> {
        consumer.unsubscribe();
        subscribe(&engine.config, consumer)
    }

    /// Creates a client that never joins the group.
    pub fn aside(engine: Arc<Engine>) -> Result<Arc<Consumer>, Error> {
        let native = client_config::reader(&engine.config);
        Self::client(engine, &native)
    }

    fn client(engine: Arc<Engine>, native: &ClientConfig) -> Result<Arc<Consumer>, Error> {
        let config = engine.config.clone();
        let group = Self {
            engine,
            consumer: OnceLock::new(),
            running: Mutex::default(),
            log: ClientLog::default(),
        };
        let consumer = Consumer::from_config_and_context(native, group);
        let consumer =
            consumer.map_err(|error| Error::client(&config.brokers, &config.client, error))?;
        let consumer = Arc::new(consumer);
        consumer.context().consumer.get_or_init(|| Arc::downgrade(&consumer));
        Ok(consumer)
    }

    /// Stops every partition within the drain deadline, and commits.
    pub fn drain(&self, consumer: &Consumer) {
        let running = self.lock().drain().map(|(_, running)| running).collect();
        self.stop(consumer, running);
    }

    /// Starts a task for each partition. Reading begins after the task has determined its position.
    fn assign(&self, consumer: &Consumer, assigned: &TopicPartitionList) -> KafkaResult<()> {
        // The client is being closed if it has no other owner; no task must start then.
        let Some(owner) = self.consumer.get().and_then(Weak::upgrade) else {
            return consumer.incremental_assign(assigned);
        };
        // The queues are split before the assignment, so that librdkafka never puts a record into
        // the main queue.
        let mut partitions = Vec::new();
        for assigned in assigned.elements() {
            let (topic, number) = (assigned.topic(), assigned.partition());
            match Partition::split(&self.engine, &owner, topic, number) {
                Some(partition) => partitions.push(partition),
                None => self.engine.fail_group(format!("{topic}/{number} has no queue")),
            }
        }
        // The partitions are paused before they are assigned, so that nothing is fetched until each
        // task has its position. Until then the offset is not used, but it must be a number.
        // `Offset::End` would make librdkafka request the end offset; if the answer arrived after
        // the task's seek, librdkafka would query again and continue at the end, and would skip
        // unread records.
        consumer.pause(assigned)?;
        let mut somewhere = TopicPartitionList::new();
        for partition in assigned.elements() {
            let (topic, number) = (partition.topic(), partition.partition());
            somewhere.add_partition_offset(topic, number, Offset::Offset(0))?;
        }
        consumer.incremental_assign(&somewhere)?;
        let mut running = self.lock();
        for (partition, ended) in partitions {
            tracing::info!(topic = %partition.topic, partition = partition.number, "assigned");
            let key = (partition.topic.clone(), partition.number);
            running.insert(key, Running::spawn(&self.engine, partition, ended));
        }
        Ok(())
    }

    fn revoke(&self, consumer: &Consumer, revoked: &TopicPartitionList) -> KafkaResult<()> {
        let running = self.take(revoked);
        if consumer.assignment_lost() {
            tracing::warn!(partitions = running.len(), "assignment lost");
            running::abort(running);
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
        running::drain(running, self.engine.config.drain_deadline());
        match consumer.commit_consumer_state(CommitMode::Sync) {
            // `NoOffset` means that no offset was stored since the last commit.
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => self.commit_failed(&error),
        }
        tracing::info!(partitions, "partitions given back");
    }

    fn commit_failed(&self, error: &KafkaError) {
        self.engine.metrics.commit_failures.inc();
        tracing::warn!(%error, group = %self.engine.config.group, "offsets were not committed");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TopicPartition, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn subscribe(config: &Config, consumer: &Consumer) -> KafkaResult<()> {
    let topics = topics::subscription(&config.topics);
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics)
}

impl ConsumerContext for Group {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
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

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        match result {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => self.commit_failed(&error),
        }
    }
}

impl ClientContext for Group {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        oauth::answer(self.engine.config.oauth_token())
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(&error, reason);
    }
}
