//! A Sentinel: it watches a primary and its replicas, and makes a replica the primary when, in
//! the eyes of enough Sentinels, the old one is down.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::process::Command;

use crate::ports::FreePorts;
use crate::process::Process;
use crate::valkey::{answers, binary};

/// Time until it answers.
const START_LIMIT: Duration = Duration::from_secs(30);

/// What it watches, and how patient it is.
#[derive(Debug, Clone)]
pub struct SentinelConfig {
    /// Port on loopback of the primary. It must run; its replicas and the other Sentinels are
    /// found by asking it.
    pub primary: u16,
    /// Sentinels that must agree that it is down.
    pub quorum: u8,
    /// A server that is silent for so long is down.
    pub down_after: Duration,
    /// A failover that takes longer is begun again after twice this time.
    pub failover_limit: Duration,
}

impl SentinelConfig {
    /// Under which name it knows the primary.
    pub const NAME: &str = "doorbuster";

    /// Alone, and no more patient than a busy machine allows: a server that is only slow must not
    /// be taken for one that is down.
    pub fn of(primary: u16) -> Self {
        Self {
            primary,
            quorum: 1,
            down_after: Duration::from_secs(3),
            failover_limit: Duration::from_secs(20),
        }
    }

    /// The file that it is started with, and writes what it learns to.
    fn file(&self, port: u16) -> String {
        let (name, Self { primary, quorum, down_after, failover_limit }) = (Self::NAME, self);
        let (down_after, failover_limit) = (down_after.as_millis(), failover_limit.as_millis());
        format!(
            "port {port}\n\
             bind 127.0.0.1\n\
             sentinel monitor {name} 127.0.0.1 {primary} {quorum}\n\
             sentinel down-after-milliseconds {name} {down_after}\n\
             sentinel failover-timeout {name} {failover_limit}\n"
        )
    }
}

/// A running Sentinel; killed when dropped.
pub struct Sentinel {
    _process: Process,
    port: u16,
    _folder: TempDir,
}

impl Sentinel {
    /// Installs the server if need be, starts it and waits until it answers.
    pub async fn start(config: SentinelConfig) -> Result<Self> {
        let folder = TempDir::with_prefix("sentinel-")?;
        let binary = tokio::task::spawn_blocking(binary).await??;
        let port = FreePorts::default().find()?;
        let file = folder.path().join("sentinel.conf");
        std::fs::write(&file, config.file(port))
            .with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = Command::new(binary);
        command.arg(&file).arg("--sentinel").arg("--dir").arg(folder.path());
        let log = folder.path().join("sentinel.log");
        let mut process = Process::start("sentinel", command, &log, Some(&folder))?;
        process.wait_until(START_LIMIT, || answers(port)).await?;
        Ok(Self { _process: process, port, _folder: folder })
    }

    /// The port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }
}
