//! A Valkey server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::on_path::on_path;
use crate::ports::free_port;
use crate::process::Process;

/// The names of the program. Redis has the same arguments.
const PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];

/// How long it may take until the server answers.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The configuration of a server.
#[derive(Debug, Clone, Default)]
pub struct ValkeyConfig {
    /// Port on the loopback interface; `None` for a free one.
    pub port: Option<u16>,
    /// The folder of the data. With `None` the data is lost when the server ends.
    pub data_dir: Option<PathBuf>,
    /// Whether each write is appended to a file, which is flushed every second.
    pub append_only: bool,
    /// Port on the loopback interface of the server that this one replicates. That server need not
    /// run yet: a replica retries until it does.
    pub replica_of: Option<u16>,
    /// Number of replicas that a write requires. With fewer, the server rejects it.
    pub min_replicas: u8,
    /// Additional arguments of the program.
    pub arguments: Vec<String>,
}

/// A running Valkey server; it is killed when dropped.
pub struct Valkey {
    process: Process,
    program: PathBuf,
    config: ValkeyConfig,
    port: u16,
    _temporary: Option<TempDir>,
}

impl Valkey {
    /// The program of the server on the PATH.
    pub fn on_path() -> Option<PathBuf> {
        PROGRAMS.iter().find_map(|name| Some(on_path(&[name])?.join(name)))
    }

    /// Starts `program` and waits until it answers.
    pub async fn start(program: &Path, config: ValkeyConfig) -> Result<Self> {
        let mut valkey = Self::launch(program, config)?;
        valkey.ready().await?;
        Ok(valkey)
    }

    /// Starts `program` without waiting.
    pub fn launch(program: &Path, config: ValkeyConfig) -> Result<Self> {
        let (dir, temporary) = match &config.data_dir {
            Some(dir) => (dir.clone(), None),
            None => {
                let temporary = TempDir::with_prefix("valkey-")?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("cannot create {}", dir.display()))?;
        let port = config.port.map_or_else(free_port, Ok)?;
        let process = Process::start(
            "valkey",
            command(program, &config, port, &dir),
            &dir.join("valkey.log"),
            temporary.as_ref(),
        )?;
        Ok(Self { process, program: program.into(), config, port, _temporary: temporary })
    }

    /// Waits until it answers.
    pub async fn ready(&mut self) -> Result<()> {
        let port = self.port;
        self.process.wait_until(START_LIMIT, || answers(port)).await
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether it has ended, on its own or because it was killed.
    pub fn has_ended(&mut self) -> Result<bool> {
        self.process.has_ended()
    }

    /// Waits until it ends unexpectedly. Returns an error that describes this, with the end of its
    /// log.
    pub async fn ended(&mut self) -> anyhow::Error {
        self.process.ended().await
    }

    /// Shuts the server down, like an operator: its data is saved if it has a folder.
    pub async fn stop(self) -> Result<()> {
        self.process.stop().await
    }

    /// Ends the server at once, like a crash.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Freezes the server: connections remain open, but it does not respond.
    pub fn pause(&self) -> Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Lets it continue after [`Valkey::pause`].
    pub fn resume(&self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }

    /// Starts a new server on the same port with the same data, after this one has crashed. Without
    /// a folder there is no data.
    pub async fn restart(self) -> Result<Self> {
        let Self { mut process, program, config, port, _temporary } = self;
        process.kill().await?;
        Self::start(&program, ValkeyConfig { port: Some(port), ..config }).await
    }
}

fn command(program: &Path, config: &ValkeyConfig, port: u16, dir: &Path) -> Command {
    let save = if config.data_dir.is_some() { "60 1" } else { "" };
    let mut command = Command::new(program);
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", save])
        .args(["--appendonly", if config.append_only { "yes" } else { "no" }])
        .args(["--min-replicas-to-write", &config.min_replicas.to_string()])
        // Without this, the first synchronization of a replica waits five seconds for further
        // replicas.
        .args(["--repl-diskless-sync-delay", "0"])
        .arg("--dir")
        .arg(dir)
        .args(&config.arguments);
    if let Some(primary) = config.replica_of {
        command.args(["--replicaof", "127.0.0.1", &primary.to_string()]);
    }
    command
}

/// Whether the server responds to a PING. It accepts connections before its data is loaded.
pub async fn answers(port: u16) -> bool {
    let ping = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        // A server that requires a password has also answered.
        std::io::Result::Ok(answer == *b"+PONG" || answer == *b"-NOAU")
    };
    ping.await.unwrap_or(false)
}
