//! An Apache Kafka broker in KRaft mode, with broker and controller in one process.

mod class_archive;
mod cluster;
mod java;
mod node;
mod properties;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

pub use self::cluster::{ClusterConfig, KafkaCluster};
use self::java::Java;
pub(crate) use self::java::QUICK;
use self::node::Node;
use self::properties::{Ports, Properties, Quorum};
use crate::WAIT_LIMIT;
use crate::limit::limit_file_size;
use crate::security::{Listener, Secured, Security, TokenIssuer};
use child_server::Process;
use child_server::accepts;

/// The configuration of a broker.
#[derive(Debug, Clone, Default)]
pub struct KafkaConfig {
    /// Port on the loopback interface; `None` for a free one.
    pub port: Option<u16>,
    /// The port on the loopback interface that is advertised to clients instead of the broker's
    /// own. A proxy must listen there that forwards connections to [`Kafka::port`].
    pub advertised_port: Option<u16>,
    /// The folder of the data. With `None` the data is lost when the broker is dropped.
    pub data_dir: Option<PathBuf>,
    /// Listeners with authentication; `None` for no such listeners.
    pub security: Option<Security>,
    /// The issuer of tokens for these listeners; `None` for tokens without a signature.
    pub token_issuer: Option<TokenIssuer>,
    /// Additional lines for `server.properties`.
    pub properties: Vec<String>,
    /// Whether the broker is optimized for throughput over a long time, instead of a quick start
    /// and little memory.
    pub tuned: bool,
}

/// A running broker; it is killed when dropped.
pub struct Kafka {
    // The first field, so that the process is killed before its folder is removed.
    process: Process,
    node: Node,
}

impl Kafka {
    /// Installs Kafka if it is missing, starts a broker and waits until it accepts connections.
    pub async fn start(mut config: KafkaConfig) -> Result<Self> {
        let dir = config.data_dir.take();
        let jvm = if config.tuned { java::TUNED } else { java::QUICK };
        let node = Node::prepare(Self::alone(config)?, jvm, dir).await?;
        let mut kafka = Self::launch(node)?;
        kafka.ready().await?;
        Ok(kafka)
    }

    /// The properties of a broker without other brokers.
    fn alone(config: KafkaConfig) -> Result<Properties> {
        let ports = Ports::new(config.port)?;
        let secured = config
            .security
            .map(|security| Secured::new(security, config.token_issuer))
            .transpose()?;
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

    /// Starts the broker; [`Kafka::ready`] waits until it is ready.
    fn launch(node: Node) -> Result<Self> {
        Ok(Self { process: node.launch()?, node })
    }

    /// Kills the broker if it still runs, and starts it again; [`Kafka::ready`] waits until it is
    /// ready.
    async fn relaunch(&mut self) -> Result<()> {
        self.process.kill().await?;
        self.process = self.node.launch()?;
        Ok(())
    }

    /// Waits until the broker accepts connections on every listener. It must have joined its
    /// cluster before.
    async fn ready(&mut self) -> Result<()> {
        for port in self.node.properties.open_ports() {
            self.process.wait_until(WAIT_LIMIT, || accepts(port)).await?;
        }
        Ok(())
    }

    /// The port on the loopback interface on which it listens, which may differ from the advertised
    /// one.
    pub fn port(&self) -> u16 {
        self.node.properties.ports.clients
    }

    /// `127.0.0.1:PORT`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// `127.0.0.1:PORT` of the listener that brokers use among themselves. Its metadata contains no
    /// advertised port, so its clients do not use a proxy.
    pub fn unproxied(&self) -> String {
        format!("127.0.0.1:{}", self.node.properties.ports.brokers)
    }

    /// `127.0.0.1:PORT` of a secured broker's listener.
    pub fn listener(&self, listener: Listener) -> Option<String> {
        Some(format!("127.0.0.1:{}", self.node.properties.secured.as_ref()?.port(listener)?))
    }

    /// Runs one of Kafka's command line tools on this broker, like an operator, and returns its
    /// output.
    pub async fn tool(&self, class: &str, args: &[&str]) -> Result<String> {
        self.java().tool(&self.unproxied(), class, args).await
    }

    fn java(&self) -> &Java {
        &self.node.java
    }

    /// The process id of the broker; 0 after it was killed.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether it has ended, on its own or because it was killed.
    pub fn has_ended(&mut self) -> Result<bool> {
        self.process.has_ended()
    }

    /// Fails if it has ended, with the end of its log.
    pub fn require_running(&self) -> Result<()> {
        self.process.require_running()
    }

    /// Waits until it ends unexpectedly. Returns an error that describes this, with the end of its
    /// log.
    pub async fn ended(&mut self) -> anyhow::Error {
        self.process.ended().await
    }

    /// Shuts the broker down, like an operator.
    pub async fn stop(self) -> Result<()> {
        self.process.stop().await
    }

    /// Ends the broker at once, like a crash.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Freezes the broker: connections remain open, but it does not respond.
    pub fn pause(&self) -> Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Lets it continue after [`Kafka::pause`].
    pub fn resume(&self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }

    /// Makes every write to a file fail from now on, as if the disk were full, by setting the limit
    /// for the size of a file to zero. At the next record, of a topic or of the cluster's metadata,
    /// the broker marks its folder as failed and ends, as it does with a full disk. It logs
    /// nothing, because its log is a file, too.
    pub fn fill_disk(&self) -> Result<()> {
        limit_file_size(self.pid(), Some(0))
    }

    /// Lets it write again after [`Kafka::fill_disk`]. Fails if the broker has ended because of
    /// that; [`Kafka::restart`] then also removes the limit.
    pub fn free_disk(&self) -> Result<()> {
        limit_file_size(self.pid(), None)
    }

    /// Copies its records and metadata to `folder`. The broker must not be running.
    pub fn copy_data_to(&self, folder: &Path) -> Result<()> {
        copy(&self.node.data(), folder)
    }

    /// Replaces its records and metadata with a copy from `folder`. The broker must not be running.
    pub fn take_data_from(&self, folder: &Path) -> Result<()> {
        let data = self.node.data();
        fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
        copy(folder, &data)
    }

    /// Starts a new broker on the same ports with the same data, after this one has crashed.
    pub async fn restart(mut self) -> Result<Self> {
        self.relaunch().await?;
        self.ready().await?;
        Ok(self)
    }
}

/// Copies the files of a folder into another folder, which is created if it is missing.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status();
    let copied = copied.context("cannot run `cp`")?;
    ensure!(copied.success(), "cannot copy {} to {}", from.display(), to.display());
    Ok(())
}
