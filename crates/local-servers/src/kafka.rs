//! An Apache Kafka broker: KRaft, broker and controller in one process.

mod class_archive;
mod cluster;
mod java;
mod node;
mod properties;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

pub use self::cluster::{ClusterConfig, KafkaCluster};
use self::java::Java;
use self::node::Node;
use self::properties::{Ports, Properties, Quorum};
use crate::limit::limit_file_size;
use crate::ports::{FreePorts, accepts};
use crate::process::Process;
use crate::security::{Listener, Secured, Security};

/// Time until it takes connections: seconds on an idle machine, half a minute on a busy one.
const START_LIMIT: Duration = Duration::from_secs(90);

/// What kind of broker.
#[derive(Debug, Clone, Default)]
pub struct KafkaConfig {
    /// Port on loopback; a free one if none.
    pub port: Option<u16>,
    /// The port on loopback that clients are told instead of the broker's own: something must
    /// listen there that passes connections on to [`Kafka::port`].
    pub advertised_port: Option<u16>,
    /// Where it keeps its data; without it the broker forgets.
    pub data_dir: Option<PathBuf>,
    /// Listeners on which clients must say who they are; none if not given.
    pub security: Option<Security>,
    /// Further lines of its `server.properties`.
    pub properties: Vec<String>,
    /// Whether it is to run fast for long, rather than to start quickly and use little memory.
    pub tuned: bool,
}

/// A running broker; killed when dropped.
pub struct Kafka {
    // First, so that it is killed before its folder is removed.
    process: Process,
    node: Node,
}

impl Kafka {
    /// Installs Kafka if need be, starts a broker and waits until it takes connections.
    pub async fn start(mut config: KafkaConfig) -> Result<Self> {
        let dir = config.data_dir.take();
        let jvm = if config.tuned { java::TUNED } else { java::QUICK };
        let node = Node::prepare(Self::alone(config)?, jvm, dir).await?;
        let mut kafka = Self::launch(node)?;
        kafka.ready().await?;
        Ok(kafka)
    }

    /// What a broker without others is to be.
    fn alone(config: KafkaConfig) -> Result<Properties> {
        let mut free = FreePorts::default();
        let ports = Ports::new(config.port, &mut free)?;
        let secured =
            config.security.map(|security| Secured::new(security, &mut free)).transpose()?;
        Ok(Properties {
            id: 1,
            ports,
            advertised_port: config.advertised_port,
            quorum: Quorum::Alone,
            copies: 1,
            secured,
            more: config.properties,
        })
    }

    /// Starts it; [`Kafka::ready`] waits for it.
    fn launch(node: Node) -> Result<Self> {
        Ok(Self { process: node.launch()?, node })
    }

    /// Kills it if it still runs and starts it again; [`Kafka::ready`] waits for it.
    async fn relaunch(&mut self) -> Result<()> {
        self.process.kill().await?;
        self.process = self.node.launch()?;
        Ok(())
    }

    /// Waits until it takes connections on every listener: not before it has joined the others.
    async fn ready(&mut self) -> Result<()> {
        for port in self.node.properties.open_ports() {
            self.process.wait_until(START_LIMIT, || accepts(port)).await?;
        }
        Ok(())
    }

    /// The port on loopback where it listens, whatever is advertised.
    pub fn port(&self) -> u16 {
        self.node.properties.ports.clients
    }

    /// `127.0.0.1:PORT`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// `127.0.0.1:PORT` of the listener that brokers use among themselves. Its answers name no
    /// advertised port: a client of it meets no proxy.
    pub fn unproxied(&self) -> String {
        format!("127.0.0.1:{}", self.node.properties.ports.brokers)
    }

    /// `127.0.0.1:PORT` of a secured broker's listener.
    pub fn listener(&self, listener: Listener) -> Option<String> {
        Some(format!("127.0.0.1:{}", self.node.properties.secured.as_ref()?.port(listener)?))
    }

    /// Runs one of Kafka's command line tools on this broker, as an operator would; answers what
    /// it printed.
    pub async fn tool(&self, class: &str, args: &[&str]) -> Result<String> {
        self.java().tool(&self.unproxied(), class, args).await
    }

    fn java(&self) -> &Java {
        &self.node.java
    }

    /// The broker's process id; 0 once it was killed.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether it has ended, by itself or killed.
    pub fn has_ended(&mut self) -> Result<bool> {
        self.process.has_ended()
    }

    /// Waits until it ends by itself; answers what to say about it, with the end of its log.
    pub async fn ended(&mut self) -> anyhow::Error {
        self.process.ended().await
    }

    /// Stops it as an operator would.
    pub async fn stop(self) -> Result<()> {
        self.process.stop().await
    }

    /// Ends it at once, as a crash does.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Freezes it: connections stay open, nothing answers.
    pub fn pause(&self) -> Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Lets it go on after [`Kafka::pause`].
    pub fn resume(&self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }

    /// Makes every write of a file fail from now on, as if its disk were full: the limit of a
    /// file's size is no byte. At the next record, of a topic or of the cluster's metadata, the
    /// broker gives its folder up and ends, as it does on a full disk. Its log stays silent: that
    /// is a file too.
    pub fn fill_disk(&self) -> Result<()> {
        limit_file_size(self.pid(), Some(0))
    }

    /// Lets it write again after [`Kafka::fill_disk`]. Fails if the broker has ended of it: then
    /// [`Kafka::restart`] gives it space too.
    pub fn free_disk(&self) -> Result<()> {
        limit_file_size(self.pid(), None)
    }

    /// Copies its records and metadata. It must not run.
    pub fn copy_data_to(&self, folder: &Path) -> Result<()> {
        copy(&self.node.data(), folder)
    }

    /// Replaces its records and metadata by a copy. It must not run.
    pub fn take_data_from(&self, folder: &Path) -> Result<()> {
        let data = self.node.data();
        fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
        copy(folder, &data)
    }

    /// A new broker on the same ports with the same data, after a crash of this one.
    pub async fn restart(mut self) -> Result<Self> {
        self.relaunch().await?;
        self.ready().await?;
        Ok(self)
    }
}

/// Copies a folder's files into another folder, which is made if it is missing.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status();
    let copied = copied.context("cannot run `cp`")?;
    ensure!(copied.success(), "cannot copy {} to {}", from.display(), to.display());
    Ok(())
}
