//! The brokers and the network in front of them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use local_servers::{ClusterConfig, KafkaCluster};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::proxy::{Proxy, Weather};

/// Brokers; each keeps every record.
pub const BROKERS: usize = 3;

/// How long one question to the cluster may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A cluster whose clients come through proxies.
pub struct Kafka {
    /// The brokers.
    pub cluster: KafkaCluster,
    proxies: Vec<Proxy>,
}

impl Kafka {
    /// Starts the brokers.
    pub async fn start() -> Result<Self> {
        let mut proxies = Vec::new();
        for _ in 0..BROKERS {
            proxies.push(Proxy::start().await?);
        }
        let advertised = proxies.iter().map(Proxy::port).collect();
        let config = ClusterConfig {
            nodes: BROKERS,
            advertised_ports: Some(advertised),
            // A group that nobody has joined yet need not wait for more members.
            properties: vec!["group.initial.rebalance.delay.ms=0".into()],
        };
        let cluster = KafkaCluster::start(config).await?;
        for (proxy, port) in proxies.iter().zip(cluster.ports()) {
            proxy.aim(vec![port]);
        }
        Ok(Self { cluster, proxies })
    }

    /// The brokers as the pipeline knows them.
    pub fn bootstrap(&self) -> String {
        let addresses = self.proxies.iter().map(|proxy| format!("127.0.0.1:{}", proxy.port()));
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Changes the weather in front of all brokers.
    pub fn set(&self, weather: Weather) {
        self.proxies.iter().for_each(|proxy| proxy.set(weather));
    }

    /// The offset after the last record of each partition, asked past the proxies.
    pub async fn ends(&self, topic: &str, partitions: i32) -> Result<Vec<i64>> {
        let (brokers, topic) = (self.cluster.unproxied(), topic.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let client: BaseConsumer =
                ClientConfig::new().set("bootstrap.servers", &brokers).create()?;
            (0..partitions)
                .map(|partition| Ok(client.fetch_watermarks(&topic, partition, ANSWER_LIMIT)?.1))
                .collect::<Result<Vec<_>>>()
        });
        asked.await?.context("the brokers do not tell the topic's ends")
    }
}
