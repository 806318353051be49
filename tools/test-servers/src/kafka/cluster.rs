//! Several Kafka brokers that replicate each other's records.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::kafka::node::Node;
use crate::kafka::properties::{Ports, Properties, Quorum};
use crate::kafka::{Kafka, java};

/// How long the brokers may take to stop. After that they are killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// The configuration of a cluster.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// Number of brokers, each of which keeps a replica of every record. With three or more, one
    /// may be down: a write with `acks=all` needs two in-sync replicas. Changes of the metadata
    /// need a majority of the brokers.
    pub nodes: usize,
    /// Additional lines for the `server.properties` of each broker.
    pub properties: Vec<String>,
    /// The ports on the loopback interface that are advertised to clients, one for each broker. A
    /// proxy must listen on each that forwards connections to [`KafkaCluster::ports`]. Brokers and
    /// [`Kafka::tool`] do not use these ports.
    pub advertised_ports: Option<Vec<u16>>,
}

impl Default for ClusterConfig {
    /// Three brokers.
    fn default() -> Self {
        Self { nodes: 3, properties: Vec::new(), advertised_ports: None }
    }
}

/// Running brokers, each of which is also a controller. They are killed when dropped, and their
/// data is deleted.
///
/// A broker's index counts from 0; its `node.id`, by which Kafka names it, is one more.
pub struct KafkaCluster {
    brokers: Vec<Kafka>,
}

impl KafkaCluster {
    /// Installs Kafka if it is missing, starts the brokers and waits until each accepts
    /// connections.
    pub async fn start(config: ClusterConfig) -> Result<Self> {
        // Formatting a folder takes as long as the start of a JVM, so all are formatted in
        // parallel.
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

    /// `127.0.0.1:PORT` of each broker, separated by commas. These are the brokers' own ports, but
    /// their metadata contains the advertised ones.
    pub fn bootstrap(&self) -> String {
        self.join(Kafka::bootstrap)
    }

    /// The same as [`KafkaCluster::bootstrap`] for listeners whose metadata contains no advertised
    /// port, so that their clients do not use a proxy.
    pub fn unproxied(&self) -> String {
        self.join(Kafka::unproxied)
    }

    fn join(&self, address: impl Fn(&Kafka) -> String) -> String {
        self.brokers.iter().map(address).collect::<Vec<_>>().join(",")
    }

    /// The brokers' own ports, in the order of their indexes.
    pub fn ports(&self) -> Vec<u16> {
        self.brokers.iter().map(Kafka::port).collect()
    }

    /// The broker with this index. Fails if there is none.
    pub fn broker(&self, index: usize) -> Result<&Kafka> {
        let nodes = self.brokers.len();
        self.brokers.get(index).with_context(|| format!("no broker {index} of {nodes}"))
    }

    /// The same as [`KafkaCluster::broker`], mutable.
    pub fn broker_mut(&mut self, index: usize) -> Result<&mut Kafka> {
        let nodes = self.brokers.len();
        self.brokers.get_mut(index).with_context(|| format!("no broker {index} of {nodes}"))
    }

    /// Ends a broker at once, like a crash.
    pub async fn kill(&mut self, index: usize) -> Result<()> {
        self.broker_mut(index)?.kill().await
    }

    /// Kills a broker if it still runs, starts it again on the same ports with the same data, and
    /// waits until it accepts connections. Its replicas may lag behind for some time after that.
    /// Fails if the brokers that run are not a majority: see [`KafkaCluster::restart_all`].
    pub async fn restart(&mut self, index: usize) -> Result<()> {
        let broker = self.broker_mut(index)?;
        broker.relaunch().await?;
        broker.ready().await
    }

    /// Kills all brokers that still run, then starts all of them, as after a power failure.
    pub async fn restart_all(&mut self) -> Result<()> {
        for broker in &mut self.brokers {
            broker.kill().await?;
        }
        for broker in &mut self.brokers {
            broker.relaunch().await?;
        }
        self.ready().await
    }

    /// Freezes a broker: connections remain open, but it does not respond.
    pub fn pause(&self, index: usize) -> Result<()> {
        self.broker(index)?.pause()
    }

    /// Lets a broker continue after [`KafkaCluster::pause`].
    pub fn resume(&self, index: usize) -> Result<()> {
        self.broker(index)?.resume()
    }

    /// Shuts the running brokers down, like an operator, within ten seconds. Brokers that cannot
    /// leave, because there is no majority any more, would wait for minutes; they are killed.
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

/// The properties of each broker.
fn plan(config: ClusterConfig) -> Result<Vec<Properties>> {
    let ClusterConfig { nodes, properties, advertised_ports } = config;
    ensure!(nodes > 0, "a cluster needs a node");
    let advertised = advertised_ports.unwrap_or_default();
    ensure!(
        advertised.is_empty() || advertised.len() == nodes,
        "{} advertised ports for {nodes} nodes: give one for each",
        advertised.len()
    );
    let ports = (0..nodes).map(|_| Ports::new(None)).collect::<Result<Vec<_>>>()?;
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
