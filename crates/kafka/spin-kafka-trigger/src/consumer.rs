//! The Kafka client of a running engine.

use std::sync::Arc;

use kafka_client::{BasicContext, ClientSettings};
use rdkafka::TopicPartitionList;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use crate::{Config, Error, topics};

/// The Kafka client of a running engine.
pub(crate) type Consumer = BaseConsumer<Callbacks>;

/// Owns the partitions that are assigned to a client. All methods are called on the thread that
/// polls the client, one at a time.
pub(crate) trait Membership: Send + Sync {
    /// Handles an assignment or a revocation.
    fn rebalance(
        &self,
        consumer: &Consumer,
        event: RDKafkaRespErr,
        partitions: &TopicPartitionList,
    );

    /// Notes that the broker did not accept a commit.
    fn commit_failed(&self, error: &KafkaError);

    /// Stops every partition within the drain deadline, and commits.
    fn drain(&self, consumer: &Consumer);
}

/// Forwards the callbacks of librdkafka.
pub(crate) struct Callbacks {
    membership: Arc<dyn Membership>,
    basic: BasicContext,
}

impl Callbacks {
    /// Stops every partition within the drain deadline, and commits.
    pub fn drain(&self, consumer: &Consumer) {
        self.membership.drain(consumer);
    }
}

/// Creates a client. Nothing is subscribed.
pub(crate) fn create(
    config: &Config,
    native: &ClientSettings,
    membership: Arc<dyn Membership>,
) -> Result<Arc<Consumer>, Error> {
    let basic = BasicContext::new(config.tokens());
    Ok(Arc::new(native.create(Callbacks { membership, basic })?))
}

/// Subscribes to the topics of the settings.
pub(crate) fn subscribe(config: &Config, consumer: &Consumer) -> KafkaResult<()> {
    let topics = topics::subscription(&config.topics);
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics)
}

/// Leaves the group and joins it again, which causes a new assignment.
pub(crate) fn rejoin(config: &Config, consumer: &Consumer) -> KafkaResult<()> {
    consumer.unsubscribe();
    subscribe(config, consumer)
}

impl ConsumerContext for Callbacks {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        self.membership.rebalance(consumer, event, partitions);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        match result {
            // `NoOffset` means that no offset was stored since the last commit.
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => self.membership.commit_failed(&error),
        }
    }
}

impl ClientContext for Callbacks {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(
        &self,
        config: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.basic.generate_oauth_token(config)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.basic.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.basic.error(error, reason);
    }
}
