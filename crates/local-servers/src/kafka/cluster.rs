//! Several Kafka brokers that keep copies of each other's records.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::kafka::node::Node;
use crate::kafka::properties::{Ports, Properties, Quorum};
use crate::kafka::{Kafka, java};
use crate::ports::FreePorts;

/// Time that the brokers get to stop before the rest is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// What kind of cluster.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// Number of brokers; every one keeps each record. Of three or more, one may be away: a
    /// write with `acks=all` needs two. A majority must run for anything to change.
    pub nodes: usize,
    /// Further lines of each broker's `server.properties`.
    pub properties: Vec<String>,
    /// The brokers' ports on loopback as clients are told them, one for each: something must
    /// listen there that passes connections on to [`KafkaCluster::ports`]. Brokers and
    /// [`Kafka::tool`] do not use them.
    pub advertised_ports: Option<Vec<u16>>,
}

impl Default for ClusterConfig {
    /// Three brokers.
    fn default() -> Self {
        Self { nodes: 3, properties: Vec::new(), advertised_ports: None }
    }
}

/// Running brokers, each a controller too; killed when dropped. Their data is forgotten then.
///
/// A broker's index counts from 0; its `node.id`, by which Kafka names it, is one more.
pub struct KafkaCluster {
    brokers: Vec<Kafka>,
}

impl KafkaCluster {
    /// Installs Kafka if need be, starts the brokers and waits until each takes connections.
    pub async fn start(config: ClusterConfig) -> Result<Self> {
        // Formatting takes a JVM's start: all at once.
        let preparing: Vec<_> = plan(config)?
            .into_iter()
            .map(|properties| tokio::spawn(Node::prepare(properties, java::QUICK, None)))
            .collect();
        let mut brokers = Vec::new();
        for node in preparing {
            brokers.push(Kafka::launch(node.await??)?);
        }
        let mut cluster = Self { brokers };
        cluster.ready().await?;
        Ok(cluster)
    }

    async fn ready(&mut self) -> Result<()> {
        for broker in &mut self.brokers {
            broker.ready().await?;
        }
        Ok(())
    }

    /// `127.0.0.1:PORT` of each broker, separated by commas: the brokers' own ports, though their
    /// answers name the advertised ones.
    pub fn bootstrap(&self) -> String {
        self.join(Kafka::bootstrap)
    }

    /// As [`KafkaCluster::bootstrap`], but of listeners whose answers name no advertised port: a
    /// client of these meets no proxy.
    pub fn unproxied(&self) -> String {
        self.join(Kafka::unproxied)
    }

    fn join(&self, address: impl Fn(&Kafka) -> String) -> String {
        self.brokers.iter().map(address).collect::<Vec<_>>().join(",")
    }

    /// The brokers' own ports, in their order.
    pub fn ports(&self) -> Vec<u16> {
        self.brokers.iter().map(Kafka::port).collect()
    }

    /// One of the brokers. Fails if there are not so many.
    pub fn broker(&self, index: usize) -> Result<&Kafka> {
        let nodes = self.brokers.len();
        self.brokers.get(index).with_context(|| format!("no broker {index} of {nodes}"))
    }

    /// As [`KafkaCluster::broker`].
    pub fn broker_mut(&mut self, index: usize) -> Result<&mut Kafka> {
        let nodes = self.brokers.len();
        self.brokers.get_mut(index).with_context(|| format!("no broker {index} of {nodes}"))
    }

    /// Ends a broker at once, as a crash does.
    pub async fn kill(&mut self, index: usize) -> Result<()> {
        self.broker_mut(index)?.kill().await
    }

    /// Kills a broker if it still runs, starts it again on the same ports with the same data and
    /// waits until it takes connections; its copies may lag a little longer. Fails if too few
    /// others run for a majority: see [`KafkaCluster::restart_all`].
    pub async fn restart(&mut self, index: usize) -> Result<()> {
        let broker = self.broker_mut(index)?;
        broker.relaunch().await?;
        broker.ready().await
    }

    /// Kills all brokers that still run, then starts all again, as after a power cut.
    pub async fn restart_all(&mut self) -> Result<()> {
        for broker in &mut self.brokers {
            broker.kill().await?;
        }
        for broker in &mut self.brokers {
            broker.relaunch().await?;
        }
        self.ready().await
    }

    /// Freezes a broker: connections stay open, nothing answers.
    pub fn pause(&self, index: usize) -> Result<()> {
        self.broker(index)?.pause()
    }

    /// Lets a broker go on after [`KafkaCluster::pause`].
    pub fn resume(&self, index: usize) -> Result<()> {
        self.broker(index)?.resume()
    }

    /// Stops the brokers that still run, as an operator would, within ten seconds. One that finds
    /// no majority left to take its leave from would wait for minutes: it is killed.
    pub async fn stop(mut self) -> Result<()> {
        for broker in &mut self.brokers {
            if !broker.has_ended()? {
                broker.process.terminate()?;
            }
        }
        let stopping = async {
            for broker in &mut self.brokers {
                broker.process.wait().await?;
            }
            Ok(())
        };
        if let Ok(stopped) = tokio::time::timeout(STOP_LIMIT, stopping).await {
            return stopped;
        }
        for broker in &mut self.brokers {
            broker.kill().await?;
        }
        Ok(())
    }
}

/// What each broker is to be.
fn plan(config: ClusterConfig) -> Result<Vec<Properties>> {
    let ClusterConfig { nodes, properties, advertised_ports } = config;
    ensure!(nodes > 0, "a cluster needs a node");
    let advertised = advertised_ports.unwrap_or_default();
    ensure!(
        advertised.is_empty() || advertised.len() == nodes,
        "{} advertised ports for {nodes} nodes: give one for each",
        advertised.len()
    );
    let mut free = FreePorts::default();
    let ports = (0..nodes).map(|_| Ports::new(None, &mut free)).collect::<Result<Vec<_>>>()?;
    let voters: Vec<String> = (1..)
        .zip(&ports)
        .map(|(id, ports)| format!("{id}@127.0.0.1:{}", ports.controllers))
        .collect();
    let quorum = Quorum::Voters(voters.join(","));
    let mut advertised = advertised.into_iter();
    Ok((1..)
        .zip(ports)
        .map(|(id, ports)| Properties {
            id,
            ports,
            advertised_port: advertised.next(),
            quorum: quorum.clone(),
            copies: nodes,
            secured: None,
            more: properties.clone(),
        })
        .collect())
}
