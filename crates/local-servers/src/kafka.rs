//! An Apache Kafka broker: KRaft, one node.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::home::{install, run};
use crate::process::{Process, accepts, free_port};
use crate::security::{Listener, Secured, Security};

/// Time until it takes connections: seconds on an idle machine, half a minute on a busy one.
const START_LIMIT: Duration = Duration::from_secs(90);

/// Any 22 characters of base64; one node needs no better.
const CLUSTER_ID: &str = "doorbusterlocalcluster";

const POM: &str = include_str!("kafka.pom.xml");

/// What kind of broker.
#[derive(Debug, Clone, Default)]
pub struct KafkaConfig {
    /// Port on loopback; a free one if none.
    pub port: Option<u16>,
    /// Where it keeps its data; without it the broker forgets.
    pub data_dir: Option<PathBuf>,
    /// Listeners on which clients must say who they are; none if not given.
    pub security: Option<Security>,
    /// Further lines of its `server.properties`.
    pub properties: Vec<String>,
}

/// A running broker; killed when dropped.
pub struct Kafka {
    process: Process,
    config: KafkaConfig,
    port: u16,
    secured: Option<Secured>,
    classpath: String,
    temporary: Option<TempDir>,
}

impl Kafka {
    /// Installs Kafka if need be, starts a broker and waits until it takes connections.
    pub async fn start(config: KafkaConfig) -> Result<Self> {
        let temporary = match &config.data_dir {
            Some(_) => None,
            None => Some(TempDir::with_prefix("kafka-")?),
        };
        let secured = config.security.clone().map(Secured::new).transpose()?;
        Self::start_in(config, secured, temporary).await
    }

    async fn start_in(
        config: KafkaConfig,
        secured: Option<Secured>,
        temporary: Option<TempDir>,
    ) -> Result<Self> {
        let dir = match (&config.data_dir, &temporary) {
            (Some(dir), _) => dir.clone(),
            (None, Some(temporary)) => temporary.path().to_owned(),
            (None, None) => anyhow::bail!("a broker needs a folder"),
        };
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        let port = config.port.map_or_else(free_port, Ok)?;
        let properties = dir.join("server.properties");
        let more = &config.properties;
        let text = server_properties(port, free_port()?, &dir, secured.as_ref(), more);
        fs::write(&properties, text)?;
        let classpath = tokio::task::spawn_blocking({
            let (dir, properties) = (dir.clone(), properties.clone());
            let format_args = secured.as_ref().map(Secured::format_args).unwrap_or_default();
            move || prepare(&dir, &properties, &format_args)
        })
        .await??;
        let mut command = java(&classpath);
        command.arg("kafka.Kafka").arg(&properties).current_dir(&dir);
        let mut process = Process::start("kafka", command.into(), &dir.join("kafka.log"))?;
        process.wait_until(START_LIMIT, || accepts(port)).await?;
        Ok(Self { process, config, port, secured, classpath, temporary })
    }

    /// `127.0.0.1:PORT`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `127.0.0.1:PORT` of a secured broker's listener.
    pub fn listener(&self, listener: Listener) -> Option<String> {
        Some(format!("127.0.0.1:{}", self.secured.as_ref()?.port(listener)?))
    }

    /// Runs one of Kafka's command line tools on this broker, as an operator would.
    pub async fn tool(&self, class: &str, args: &[&str]) -> Result<()> {
        let mut command = java(&self.classpath);
        command.args([class, "--bootstrap-server", &self.bootstrap()]).args(args);
        tokio::task::spawn_blocking(move || run(&mut command, "Java 17 or newer is needed")).await?
    }

    /// The broker's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
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

    /// A new broker on the same port with the same data, after a crash of this one.
    pub async fn restart(self) -> Result<Self> {
        let Self { mut process, config, port, secured, temporary, .. } = self;
        process.kill().await?;
        Self::start_in(KafkaConfig { port: Some(port), ..config }, secured, temporary).await
    }
}

/// Installs the jars and formats the folder unless it is; answers the class path.
fn prepare(dir: &Path, properties: &Path, format_args: &[String]) -> Result<String> {
    let jars = install(
        "kafka",
        |home| home.join("kafka/libs"),
        |home| {
            let folder = home.join("kafka");
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("pom.xml"), POM)?;
            let copied = folder.join("copying");
            let mut maven = std::process::Command::new("mvn");
            maven
                .args([
                    "--quiet",
                    "--batch-mode",
                    "dependency:copy-dependencies",
                    "-DincludeScope=runtime",
                ])
                .arg(format!("-DoutputDirectory={}", copied.display()))
                .current_dir(&folder);
            run(&mut maven, "Maven and Java 17 or newer are needed")?;
            // Renamed at the end: a folder half filled by a failed run is never taken for whole.
            fs::rename(copied, folder.join("libs")).context("cannot finish the installation")
        },
    )?;
    let classpath = format!("{}/*", jars.display());
    if !dir.join("data/meta.properties").exists() {
        let mut format = java(&classpath);
        format
            .args([
                "kafka.tools.StorageTool",
                "format",
                "--standalone",
                "--cluster-id",
                CLUSTER_ID,
                "-c",
            ])
            .arg(properties)
            .args(format_args);
        run(&mut format, "Java 17 or newer is needed")?;
    }
    Ok(classpath)
}

fn java(classpath: &str) -> std::process::Command {
    let mut java = std::process::Command::new("java");
    java.args(["-Xms512m", "-Xmx512m", "-XX:+UseSerialGC", "-cp", classpath]);
    java
}

/// One node, broker and controller; what a cluster keeps three times it keeps once.
fn server_properties(
    port: u16,
    controller_port: u16,
    dir: &Path,
    secured: Option<&Secured>,
    more: &[String],
) -> String {
    let further = secured.map(Secured::listeners).unwrap_or_default();
    let security = secured.map(Secured::properties).unwrap_or_default();
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{further}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}{further}\n\
         controller.listener.names=CONTROLLER\n\
         log.dirs={}\n\
         auto.create.topics.enable=false\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=5\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         log.cleaner.dedupe.buffer.size=16777216\n\
         broker.session.timeout.ms=3000\n\
         {security}\n{}\n",
        dir.join("data").display(),
        more.join("\n")
    )
}
