//! The brokers, and the network in front of them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use test_servers::{ClusterConfig, KafkaCluster};

use super::proxy::{LinkState, Proxy};

/// Number of brokers; every broker has every record.
pub const BROKERS: usize = 3;

/// Maximum time for a request to the cluster.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A cluster that clients reach through proxies.
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
            // The first assignment of a new group need not wait for more members.
            properties: vec!["group.initial.rebalance.delay.ms=0".into()],
        };
        let cluster = KafkaCluster::start(config).await?;
        for (proxy, port) in proxies.iter().zip(cluster.ports()) {
            proxy.aim(vec![port]);
        }
        Ok(Self { cluster, proxies })
    }

    /// The bootstrap brokers for the pipeline: the proxies.
    pub fn bootstrap(&self) -> String {
        let addresses = self.proxies.iter().map(|proxy| format!("127.0.0.1:{}", proxy.port()));
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Sets the state of the network in front of all brokers.
    pub fn set(&self, state: LinkState) {
        self.proxies.iter().for_each(|proxy| proxy.set(state));
    }

    /// The end offset of each partition, requested without the proxies.
    pub async fn ends(&self, topic: &str, partitions: i32) -> Result<Vec<i64>> {
        let (brokers, topic) = (self.cluster.unproxied(), topic.to_owned());
        let ends = tokio::task::spawn_blocking(move || {
            let client: BaseConsumer =
                ClientConfig::new().set("bootstrap.servers", &brokers).create()?;
            (0..partitions)
                .map(|partition| Ok(client.fetch_watermarks(&topic, partition, ANSWER_LIMIT)?.1))
                .collect::<Result<Vec<_>>>()
        });
        ends.await?.context("the brokers do not return the end offsets of the topic")
    }
}
