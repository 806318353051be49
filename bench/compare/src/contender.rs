//! The pipelines that are compared, and how each is started.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::deployment::Deployment;
use crate::manifest::{WITH_AGGREGATOR, request_path_of, without_provided};
use crate::process::free_address;
use crate::servers::Servers;

/// One of the pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    /// The pipeline without WebAssembly, which the others are compared with.
    Native,
    /// Doorbuster, with the request path in one component.
    Fused,
    /// Doorbuster, with the component for any event, which a configuration lets accept sales.
    ByConfiguration,
    /// Doorbuster, with a component for each hop.
    Chained,
    /// Like chained, with each component in its own process, as on Kubernetes.
    FourProcesses,
    /// Like fused, but with the Kafka producer and the Valkey client in WebAssembly, as Spin's HTTP
    /// trigger runs it.
    WasmOnly,
    /// Like fused, with the build of the aggregator that was given as an argument.
    OtherAggregator,
}

/// What of a pipeline is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// From the request to Kafka.
    Accept,
    /// From Kafka to Valkey.
    Drain,
    /// Both.
    Whole,
}

/// Kafka's names for a deployment.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The topic, which must exist.
    pub topic: &'a str,
    /// The consumer group.
    pub group: &'a str,
}

impl Contender {
    /// All that a user can start, in the order of their turns.
    pub const ALL: [Self; 6] = [
        Self::Native,
        Self::Fused,
        Self::ByConfiguration,
        Self::Chained,
        Self::FourProcesses,
        Self::WasmOnly,
    ];

    /// Those that are measured up to Valkey. The others have the same consumer as one of these.
    pub const WHOLE: [Self; 4] = [Self::Native, Self::Fused, Self::Chained, Self::FourProcesses];

    /// Those that run in one process each.
    pub const SINGLE: [Self; 3] = [Self::Native, Self::Fused, Self::Chained];

    /// Starts a part of the pipeline, and waits until all of it listens.
    pub async fn start(
        self,
        part: Part,
        names: Names<'_>,
        servers: &Servers,
    ) -> Result<Deployment> {
        let mut deployment = self.spawn(part, names, servers)?;
        let listens = deployment.listens().await;
        listens.with_context(|| format!("{self}, {part:?}"))?;
        Ok(deployment)
    }

    /// Starts a part of the pipeline.
    pub fn spawn(self, part: Part, names: Names<'_>, servers: &Servers) -> Result<Deployment> {
        let has = |other| part == other || part == Part::Whole;
        let address = free_address()?;
        let mut deployment = Deployment::new(has(Part::Accept).then_some(address));
        if self == Self::Native {
            if has(Part::Accept) {
                let listen = address.to_string();
                let command = native("accept", names.topic, servers, &["--listen", &listen])?;
                deployment.add("accept", &format!("{self}-accept"), command, Some(address))?;
            }
            if has(Part::Drain) {
                let command = native("drain", names.topic, servers, &["--group", names.group])?;
                deployment.add("drain", &format!("{self}-drain"), command, None)?;
            }
        } else if self == Self::FourProcesses {
            let (bridge, writer) = (free_address()?, free_address()?);
            let bridge_url = format!("bridge_url=http://{bridge}");
            let writer_url = format!("writer_url=http://{writer}");
            let urls = ["--variable", &bridge_url, "--variable", &writer_url];
            let parts = [
                ("ingest", address, Part::Accept),
                ("bridge", bridge, Part::Accept),
                ("writer", writer, Part::Accept),
                ("aggregator", free_address()?, Part::Drain),
            ];
            for (component, listen, _) in parts.into_iter().filter(|(_, _, part)| has(*part)) {
                let mut command = ours(self.manifest(), listen, names, servers)?;
                command.args(["--component-id", component]).args(urls);
                deployment.add(component, &format!("{self}-{component}"), command, Some(listen))?;
            }
        } else {
            let manifest = self.derived_manifest(part)?;
            let command = ours(&manifest, address, names, servers)?;
            deployment.add("server", &self.to_string(), command, Some(address))?;
        }
        Ok(deployment)
    }

    fn manifest(self) -> &'static Path {
        Path::new(match self {
            Self::Chained | Self::FourProcesses => "spin.toml",
            Self::Native | Self::Fused | Self::WasmOnly => "spin-fused.toml",
            Self::ByConfiguration => "examples/sale-by-configuration/spin.toml",
            Self::OtherAggregator => WITH_AGGREGATOR,
        })
    }

    fn derived_manifest(self, part: Part) -> Result<PathBuf> {
        match (part, self) {
            (Part::Accept, _) => request_path_of(self.manifest(), self == Self::WasmOnly),
            (_, Self::WasmOnly) => without_provided(self.manifest()),
            _ => Ok(self.manifest().to_owned()),
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Native => "native",
            Self::Fused => "fused",
            Self::ByConfiguration => "by-configuration",
            Self::Chained => "chained",
            Self::FourProcesses => "four-processes",
            Self::WasmOnly => "wasm-only",
            Self::OtherAggregator => "other-aggregator",
        })
    }
}

/// The path of a program that was built together with this one.
pub fn program(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe().context("cannot determine the path of this program")?;
    Ok(this.with_file_name(name))
}

fn native(what: &str, topic: &str, servers: &Servers, rest: &[&str]) -> Result<Command> {
    let mut command = Command::new(program("native-bench")?);
    command.args([what, "--kafka", &servers.brokers(), "--topic", topic]);
    command.args(["--valkey", &servers.valkey.url()]).args(rest);
    Ok(command)
}

/// Doorbuster with an application that needs no servers.
pub fn alone(manifest: &Path, listen: SocketAddr) -> Result<Command> {
    let mut command = Command::new(program("doorbuster")?);
    command.arg("up").arg("--from").arg(manifest).args(["--listen", &listen.to_string()]);
    Ok(command)
}

/// Doorbuster with an application that uses Kafka and Valkey.
pub fn ours(
    manifest: &Path,
    listen: SocketAddr,
    names: Names<'_>,
    servers: &Servers,
) -> Result<Command> {
    let mut command = alone(manifest, listen)?;
    command.args(["--kafka", &servers.brokers(), "--valkey", &servers.valkey.url()]);
    let Names { topic, group } = names;
    command.args(["--variable", &format!("kafka_topic={topic}")]);
    command.args(["--variable", &format!("kafka_group={group}")]);
    Ok(command)
}
