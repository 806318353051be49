//! The embedded broker, which requires no installation: librdkafka's mock cluster within this
//! process.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// One broker is sufficient: the mock cluster does not replicate records.
const BROKERS: i32 = 1;

/// The pause after a call of the broker. Its thread serves a call before it empties the pipe that
/// wakes it. The wake-up for a call that follows at once would be lost, and that call would wait
/// for a second.
const CALL_PAUSE: Duration = Duration::from_millis(2);

/// A Kafka broker on a loopback port. Its data is lost when it is dropped.
///
/// Each partition keeps its last 5 MB or 100,000 batches and drops older ones, read or not
/// (librdkafka's `rdkafka_mock.c`). The trigger detects and logs that.
pub struct EmbeddedKafka(MockCluster<'static, DefaultProducerContext>);

impl EmbeddedKafka {
    pub fn start() -> Result<Self> {
        MockCluster::new(BROKERS).map(Self).context("cannot start the embedded Kafka broker")
    }

    /// `127.0.0.1:PORT`.
    pub fn bootstrap(&self) -> String {
        self.0.bootstrap_servers()
    }

    /// Creates a topic; an existing one is not changed.
    pub async fn create_topic(&self, topic: &str, partitions: i32) -> Result<()> {
        self.0
            .create_topic(topic, partitions, 1)
            .with_context(|| format!("cannot create topic `{topic}` in the embedded broker"))?;
        tokio::time::sleep(CALL_PAUSE).await;
        Ok(())
    }
}
