//! The process of a contender.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// The folder for logs.
const LOGS: &str = "target/bench";

/// Maximum time until it listens. Doorbuster compiles its components first.
const START_LIMIT: Duration = Duration::from_secs(90);

/// Maximum time until it has stopped after a signal.
const STOP_LIMIT: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(1);

/// A running contender. It is killed when dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the process. Its output is written to `target/bench/<name>.log`.
    pub fn start(name: &str, mut command: Command) -> Result<Self> {
        fs::create_dir_all(LOGS).with_context(|| format!("cannot create {LOGS}"))?;
        let log = Path::new(LOGS).join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| {
                format!("cannot run {command:?}; build it with `cargo xtask bench`")
            })?;
        Ok(Self { child, log })
    }

    /// The process id.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("the process has ended")
    }

    /// Waits until the process accepts connections.
    pub async fn listens(&mut self, address: SocketAddr) -> Result<()> {
        let give_up = Instant::now() + START_LIMIT;
        while TcpStream::connect(address).await.is_err() {
            self.check()?;
            if Instant::now() > give_up {
                bail!(
                    "nothing listens on {address} after {START_LIMIT:?}: see {}",
                    self.log.display()
                );
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Fails if the process has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("it ended unexpectedly ({status}): see {}", self.log.display()),
            None => Ok(()),
        }
    }

    /// Ends the process at once, like a crash.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill the process")
    }

    /// Freezes the process, or lets it continue.
    pub fn freeze(&self, is_frozen: bool) -> Result<()> {
        self.signal(if is_frozen { Signal::SIGSTOP } else { Signal::SIGCONT })
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()?)?;
        kill(Pid::from_raw(pid), signal).context("cannot signal the process")
    }

    /// Stops the process with SIGTERM, and waits until it has ended.
    pub async fn stop(mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        if timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            tracing::warn!(log = %self.log.display(), "killed: it did not stop in time");
            self.child.kill().await?;
        }
        Ok(())
    }
}

/// A free loopback address. Another process may take it before it is used.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}
