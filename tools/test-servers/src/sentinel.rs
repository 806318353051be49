//! A Sentinel. It monitors a primary and its replicas, and promotes a replica when enough Sentinels
//! consider the primary down.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::process::Command;

use crate::WAIT_LIMIT;
use crate::valkey::valkey_program;
use child_server::Process;
use child_server::answers;
use child_server::free_port;

/// The servers that it monitors, and its timeouts.
#[derive(Debug, Clone)]
pub struct SentinelConfig {
    /// Port of the primary on the loopback interface. The primary must run; its replicas and the
    /// other Sentinels are discovered through it.
    pub primary: u16,
    /// Number of Sentinels that must agree that the primary is down.
    pub quorum: u8,
    /// A server that is silent for this long is considered down.
    pub down_after: Duration,
    /// A failover that takes longer is started again after twice this time.
    pub failover_limit: Duration,
}

impl SentinelConfig {
    /// The name under which it monitors the primary.
    pub const NAME: &str = "doorbuster";

    /// The configuration of a single Sentinel, with timeouts that are long enough for a busy
    /// machine: a slow server must not be considered down.
    pub fn new(primary: u16) -> Self {
        Self {
            primary,
            quorum: 1,
            down_after: Duration::from_secs(3),
            failover_limit: Duration::from_secs(20),
        }
    }

    /// The configuration file with which it is started. It also writes its state to this file.
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

/// A running Sentinel; it is killed when dropped.
pub struct Sentinel {
    _process: Process,
    port: u16,
    _folder: TempDir,
}

impl Sentinel {
    /// Installs the server if it is missing, starts it and waits until it answers.
    pub async fn start(config: SentinelConfig) -> Result<Self> {
        let folder = TempDir::with_prefix("sentinel-")?;
        let program = tokio::task::spawn_blocking(valkey_program).await??;
        let port = free_port()?;
        let file = folder.path().join("sentinel.conf");
        std::fs::write(&file, config.file(port))
            .with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = Command::new(program);
        command.arg(&file).arg("--sentinel").arg("--dir").arg(folder.path());
        let log = folder.path().join("sentinel.log");
        let mut process = Process::start("sentinel", command, &log, Some(&folder))?;
        process.wait_until(WAIT_LIMIT, || answers(port)).await?;
        Ok(Self { _process: process, port, _folder: folder })
    }

    /// Its port on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }
}
