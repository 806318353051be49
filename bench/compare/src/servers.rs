//! Kafka and Valkey, which all contenders use.

use anyhow::{Context as _, Result};
use test_servers::{Kafka, KafkaConfig, Valkey, ValkeyConfig, start_valkey};

/// Both servers, empty at the start.
pub struct Servers {
    /// The broker.
    pub kafka: Kafka,
    /// The store.
    pub valkey: Valkey,
}

impl Servers {
    /// Starts both servers. Installs them if they are missing.
    pub async fn start() -> Result<Self> {
        let kafka = Kafka::start(KafkaConfig { tuned: true, ..KafkaConfig::default() });
        let kafka = kafka.await.context("cannot start Kafka")?;
        let valkey = start_valkey(ValkeyConfig::default()).await.context("cannot start Valkey")?;
        Ok(Self { kafka, valkey })
    }

    /// The bootstrap brokers.
    pub fn brokers(&self) -> String {
        self.kafka.bootstrap()
    }

    /// Stops both.
    pub async fn stop(self) -> Result<()> {
        self.kafka.stop().await?;
        self.valkey.stop().await
    }
}
