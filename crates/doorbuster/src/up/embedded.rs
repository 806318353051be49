//! The broker that needs nothing installed: librdkafka's own, inside this process.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// Partitions are kept on one broker; nothing is replicated in memory.
const BROKERS: i32 = 1;

/// Pause after a call of the broker. Its thread serves a call before it empties the pipe that wakes
/// it: the wake-up of a call that follows at once is lost, and the call waits for a second.
const CALL_PAUSE: Duration = Duration::from_millis(2);

/// A Kafka broker on a loopback port that forgets everything when it is dropped.
///
/// Each partition keeps its last 5 MB or 100,000 batches and drops older ones, read or not
/// (librdkafka's `rdkafka_mock.c`). The trigger notices and says so.
pub struct EmbeddedKafka(MockCluster<'static, DefaultProducerContext>);

impl EmbeddedKafka {
    pub fn start() -> Result<Self> {
        MockCluster::new(BROKERS).map(Self).context("cannot start the embedded Kafka broker")
    }

    /// `127.0.0.1:PORT`.
    pub fn bootstrap(&self) -> String {
        self.0.bootstrap_servers()
    }

    /// Makes a topic; an existing one stays as it is.
    pub async fn create_topic(&self, topic: &str, partitions: i32) -> Result<()> {
        self.0
            .create_topic(topic, partitions, 1)
            .with_context(|| format!("cannot create topic `{topic}` in the embedded broker"))?;
        tokio::time::sleep(CALL_PAUSE).await;
        Ok(())
    }
}
