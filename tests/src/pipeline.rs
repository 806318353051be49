//! A running pipeline: the built program with real servers.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;
use test_servers::{Valkey, ValkeyConfig, WAIT_LIMIT, shared_kafka_ended, start_valkey};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::{Client, Store};

/// The wiring of the components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wiring {
    /// `spin.toml`: HTTP and gRPC between the hops.
    Chained,
    /// `spin-fused.toml`: one component.
    Fused,
    /// `examples/sale-by-configuration`: the component for any event.
    ByConfiguration,
}

impl Wiring {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Chained, Self::Fused, Self::ByConfiguration];

    /// The path of the manifest, relative to the project's root.
    pub fn manifest(self) -> &'static str {
        match self {
            Wiring::Chained => "spin.toml",
            Wiring::Fused => "spin-fused.toml",
            Wiring::ByConfiguration => "examples/sale-by-configuration/spin.toml",
        }
    }
}

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Into::into).unwrap_or_default()
}

/// The path of a program that was built together with this one.
pub fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    let folder = this.parent().unwrap_or(Path::new(""));
    // Cargo stores test programs one folder deeper than other programs.
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    folder.join(name)
}

/// A command that runs `doorbuster` in the project's root.
pub fn doorbuster() -> Command {
    let mut command = Command::new(program("doorbuster"));
    command.current_dir(root()).kill_on_drop(true);
    command
}

/// How a pipeline is started on existing servers.
#[derive(Debug, Clone)]
pub struct Launch {
    manifest: PathBuf,
    brokers: String,
    valkey_url: String,
    topic: String,
    variables: Vec<String>,
    /// Additional environment variables.
    pub envs: Vec<(String, String)>,
}

impl Launch {
    /// A manifest and its servers. The topic is only stored for [`Pipeline::topic`].
    pub fn new(
        manifest: impl Into<PathBuf>,
        brokers: impl Into<String>,
        valkey_url: impl Into<String>,
        topic: &str,
    ) -> Self {
        Self {
            manifest: manifest.into(),
            brokers: brokers.into(),
            valkey_url: valkey_url.into(),
            topic: topic.into(),
            variables: Vec::new(),
            envs: Vec::new(),
        }
    }

    /// Sets a variable of the application.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push(format!("{name}={value}"));
        self
    }
}

/// A pipeline with its own Valkey and its own topic.
pub struct Pipeline {
    child: Child,
    log: NamedTempFile,
    base: String,
    /// The topic.
    pub topic: String,
    /// Its own Valkey; None if it uses an existing one.
    pub valkey: Option<Valkey>,
    valkey_url: String,
}

/// A topic that no other pipeline of this process uses.
fn next_topic() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("sales-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Pipeline {
    /// Starts a pipeline with these brokers.
    pub async fn start(wiring: Wiring, brokers: &str) -> Result<Self> {
        let valkey = start_valkey(ValkeyConfig::default()).await?;
        let url = valkey.url();
        let mut pipeline = Self::with_store(wiring, brokers, &url).await?;
        pipeline.valkey = Some(valkey);
        Ok(pipeline)
    }

    /// Starts a pipeline that counts in this Valkey.
    pub async fn with_store(wiring: Wiring, brokers: &str, valkey_url: &str) -> Result<Self> {
        Self::on_topic(wiring, brokers, valkey_url, &next_topic()).await
    }

    /// Starts a chained pipeline with these variables.
    pub async fn with_variables(brokers: &str, variables: &[(&str, &str)]) -> Result<Self> {
        let valkey = start_valkey(ValkeyConfig::default()).await?;
        let topic = next_topic();
        let mut launch = Self::plan(Wiring::Chained, brokers, &valkey.url(), &topic);
        for (name, value) in variables {
            launch = launch.variable(name, value);
        }
        let mut pipeline = Self::launch(&launch).await?;
        pipeline.valkey = Some(valkey);
        Ok(pipeline)
    }

    /// Starts a pipeline with its own Valkey, whose operator port has this access to dead letters.
    pub async fn with_dead_letters(wiring: Wiring, brokers: &str, access: &str) -> Result<Self> {
        let valkey = start_valkey(ValkeyConfig::default()).await?;
        let mut launch = Self::plan(wiring, brokers, &valkey.url(), &next_topic());
        launch.envs.push(("DOORBUSTER_DEAD_LETTERS".into(), access.into()));
        let mut pipeline = Self::launch(&launch).await?;
        pipeline.valkey = Some(valkey);
        Ok(pipeline)
    }

    /// Starts a pipeline that continues with this topic and this Valkey.
    pub async fn on_topic(
        wiring: Wiring,
        brokers: &str,
        valkey_url: &str,
        topic: &str,
    ) -> Result<Self> {
        Self::launch(&Self::plan(wiring, brokers, valkey_url, topic)).await
    }

    /// How to start a wiring with its own topic and group.
    fn plan(wiring: Wiring, brokers: &str, valkey_url: &str, topic: &str) -> Launch {
        Launch::new(wiring.manifest(), brokers, valkey_url, topic)
            .variable("kafka_topic", topic)
            .variable("kafka_group", &format!("group-{topic}"))
    }

    /// Starts a pipeline.
    pub async fn launch(launch: &Launch) -> Result<Self> {
        let Launch { manifest, brokers, valkey_url, topic, variables, envs } = launch;
        let mut command = doorbuster();
        command.arg("up").arg("--from").arg(manifest);
        command.args(["--kafka", brokers, "--valkey", valkey_url]);
        command.args(variables.iter().flat_map(|variable| ["--variable", variable]));
        command.envs(envs.iter().cloned());
        Self::spawn(command, topic).await
    }

    /// Runs a manifest that has only Kafka's variables, with additional arguments.
    pub async fn of_manifest(manifest: &Path, brokers: &str, more: &[&str]) -> Result<Self> {
        let mut command = doorbuster();
        command.args(["up", "--kafka", brokers, "--valkey", "redis://127.0.0.1:1", "--from"]);
        command.arg(manifest).args(more);
        Self::spawn(command, "").await
    }

    /// Starts a chained pipeline with its own servers, like `cargo xtask up` with these arguments.
    pub async fn with_own_servers(arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(program("with-servers"));
        command.args(arguments).arg(program("doorbuster")).arg("up");
        command.current_dir(root()).kill_on_drop(true);
        Self::spawn(command, "sales-topic").await
    }

    async fn spawn(mut command: Command, topic: &str) -> Result<Self> {
        let log = NamedTempFile::new()?;
        let mut child = command
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(log.reopen()?)
            .spawn()
            .context("cannot run the program; build it first (cargo xtask build)")?;
        let stdout = child.stdout.take().context("no output")?;
        let greeting = tokio::select! {
            greeting = tokio::time::timeout(WAIT_LIMIT, greeting(stdout)) => {
                greeting.context("no greeting").flatten()
            }
            fault = shared_kafka_ended() => Err(fault),
        };
        let (base, valkey_url) = greeting.with_context(|| {
            format!(
                "the pipeline did not start: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            )
        })?;
        Ok(Self { child, log, base, topic: topic.into(), valkey: None, valkey_url })
    }

    /// A client for its HTTP components.
    pub fn client(&self) -> Client {
        Client::new(&self.base)
    }

    /// A connection to its Valkey.
    pub async fn store(&self) -> Result<Store> {
        Store::connect(&self.valkey_url).await
    }

    /// `http://ADDR/purchase`.
    pub fn purchase_url(&self) -> String {
        format!("{}/purchase", self.base)
    }

    /// The URL of its Valkey.
    pub fn valkey_url(&self) -> &str {
        &self.valkey_url
    }

    /// What it wrote to stderr so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A hard link to the file with its stderr, which remains after the pipeline was dropped.
    pub fn log_file(&self) -> Result<tempfile::TempPath> {
        let kept = NamedTempFile::new()?.into_temp_path();
        std::fs::remove_file(&kept)?;
        std::fs::hard_link(&self.log, &kept)?;
        Ok(kept)
    }

    /// The port of its HTTP components.
    pub fn port(&self) -> Result<u16> {
        let (_, port) = self.base.rsplit_once(':').context("no port in its address")?;
        Ok(port.parse()?)
    }

    /// Kills the process.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// Sends a signal that does not end the process.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.pid())?), signal)?)
    }

    /// Stops it with SIGTERM, and waits. Fails unless the exit code is 0.
    pub async fn stop(self) -> Result<()> {
        self.end(Signal::SIGTERM).await
    }

    /// Waits until the program ends. Fails unless it exits with success.
    pub async fn ended(mut self) -> Result<()> {
        let ended = tokio::time::timeout(WAIT_LIMIT, self.child.wait()).await;
        let status = ended.with_context(|| format!("it does not end\n{}", self.log()))??;
        ensure!(status.success(), "{status}\n{}", self.log());
        Ok(())
    }

    /// Sends a signal (Ctrl-C is SIGINT) and waits until the program ends. Fails unless it exits
    /// with success.
    pub async fn end(mut self, signal: Signal) -> Result<()> {
        self.signal(signal)?;
        let status = self.child.wait().await?;
        ensure!(status.success(), "{status}\n{}", self.log());
        Ok(())
    }
}

/// Reads the addresses of the pipeline and of Valkey from the output at the start; empty if they
/// are missing. Continues to read, so that the pipe does not fill up.
async fn greeting(stdout: tokio::process::ChildStdout) -> Result<(String, String)> {
    let mut lines = BufReader::new(stdout).lines();
    let (mut base, mut valkey) = (String::new(), String::new());
    while let Some(line) = lines.next_line().await? {
        if let Some(url) = line.strip_prefix("Doorbuster is running: ") {
            base = url.trim_end_matches("/purchase").to_owned();
        } else if let Some(url) = line.strip_prefix("  Valkey  ") {
            valkey = url.to_owned();
        } else if line == "Press Ctrl-C to stop." {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok((base, valkey));
        }
    }
    anyhow::bail!("it ended without a greeting")
}
