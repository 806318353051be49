//! The pipelines that are compared, and how each is started.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use tokio::process::Command;

use crate::manifest::request_path_of;
use crate::process::{Process, free_address};
use crate::servers::Servers;

/// One of the pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contender {
    /// The pipeline without WebAssembly, which the others are compared with.
    Native,
    /// Doorbuster, with the request path in one component.
    Fused,
    /// Doorbuster, with a component for each hop.
    Chained,
    /// Like fused, but with the Kafka producer in WebAssembly, as Spin's HTTP trigger runs it.
    #[serde(rename = "wasm-only")]
    WasmOnly,
    /// Like fused, but it also counts the sales.
    Counting,
    /// The same with viewers of its live page.
    Viewed,
}

impl Contender {
    /// The contenders of the request path, in the order of their turns.
    pub const ACCEPT: [Self; 4] = [Self::Native, Self::Fused, Self::Chained, Self::WasmOnly];

    /// The pipeline without and with viewers.
    pub const VIEWED: [Self; 2] = [Self::Counting, Self::Viewed];

    /// The contenders that count a backlog.
    pub const DRAIN: [Self; 3] = [Self::Native, Self::Fused, Self::Chained];

    /// Starts only the request path, and waits until it listens.
    pub async fn start_accept(
        self,
        topic: &str,
        servers: &Servers,
    ) -> Result<(Process, SocketAddr)> {
        let address = free_address()?;
        let command = match self.manifest() {
            None => native("accept", topic, servers, &["--listen", &address.to_string()])?,
            Some(manifest) => {
                let manifest = request_path_of(Path::new(manifest), self == Self::WasmOnly)?;
                ours(&manifest, address, servers, &[("kafka_topic", topic)])?
            }
        };
        let process = listening(format!("accept-{self}"), command, address);
        Ok((process.await.with_context(|| format!("{self}, accept"))?, address))
    }

    /// Starts the whole pipeline, and waits until it listens.
    pub async fn start_counting(
        self,
        topic: &str,
        servers: &Servers,
    ) -> Result<(Process, SocketAddr)> {
        let address = free_address()?;
        let manifest = Path::new(self.manifest().context("the native pipeline has no page")?);
        let variables = [("kafka_topic", topic), ("kafka_group", topic)];
        let command = ours(manifest, address, servers, &variables)?;
        let process = listening(format!("counting-{self}"), command, address);
        Ok((process.await.with_context(|| format!("{self}, live page"))?, address))
    }

    /// Starts only the part from Kafka to Valkey.
    pub fn start_drain(self, topic: &str, group: &str, servers: &Servers) -> Result<Process> {
        let command = match self.manifest() {
            None => native("drain", topic, servers, &["--group", group])?,
            Some(manifest) => {
                let variables = [("kafka_topic", topic), ("kafka_group", group)];
                ours(Path::new(manifest), free_address()?, servers, &variables)?
            }
        };
        Process::start(&format!("drain-{self}"), command)
    }

    fn manifest(self) -> Option<&'static str> {
        match self {
            Self::Native => None,
            Self::Fused | Self::WasmOnly | Self::Counting | Self::Viewed => Some("spin-fused.toml"),
            Self::Chained => Some("spin.toml"),
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Native => "native",
            Self::Fused => "fused",
            Self::Chained => "chained",
            Self::WasmOnly => "wasm-only",
            Self::Counting => "counting",
            Self::Viewed => "viewed",
        })
    }
}

/// The path of a program that was built together with this one.
pub fn program(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe().context("cannot determine the path of this program")?;
    Ok(this.with_file_name(name))
}

/// Starts a process, and waits until it listens.
async fn listening(name: String, command: Command, address: SocketAddr) -> Result<Process> {
    let mut process = Process::start(&name, command)?;
    process.listens(address).await?;
    Ok(process)
}

fn native(what: &str, topic: &str, servers: &Servers, rest: &[&str]) -> Result<Command> {
    let mut command = Command::new(program("native-bench")?);
    command.args([what, "--kafka", &servers.brokers(), "--topic", topic]);
    command.args(["--valkey", &servers.valkey.url()]).args(rest);
    Ok(command)
}

fn ours(
    manifest: &Path,
    listen: SocketAddr,
    servers: &Servers,
    variables: &[(&str, &str)],
) -> Result<Command> {
    let mut command = Command::new(program("doorbuster")?);
    command.arg("up").arg("--from").arg(manifest);
    command.args(["--listen", &listen.to_string()]);
    command.args(["--kafka", &servers.brokers(), "--valkey", &servers.valkey.url()]);
    for (name, value) in variables {
        command.args(["--variable", &format!("{name}={value}")]);
    }
    Ok(command)
}
