//! A server as a child process, which logs to a file and ends together with its parent.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::watchdog::Watchdog;

/// How often to check whether the server is ready.
const POLL: Duration = Duration::from_millis(25);

/// How long a server may take to end after each signal when its [`Process`] is dropped.
const QUIT_LIMIT: Duration = Duration::from_secs(5);

/// How often to check whether it has ended.
const QUIT_POLL: Duration = Duration::from_millis(5);

/// How long a server may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Size of a log file above which it is truncated at the next start.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// Number of the last lines of the log that an error contains.
const LOG_TAIL_LINES: usize = 20;

/// A running server.
pub struct Process {
    child: Child,
    name: &'static str,
    log: PathBuf,
    /// `None` after the server has ended.
    watchdog: Option<Watchdog>,
    at_drop: AtDrop,
}

/// What happens to a server that still runs when its [`Process`] is dropped, or when this process ends
/// without dropping it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtDrop {
    /// It is killed.
    Kill,
    /// It gets SIGQUIT, and is killed if it has not ended after five seconds. This is for a server that
    /// then releases what the kernel would keep, such as shared memory.
    Quit,
}

impl Process {
    /// Starts `command`, which writes its output to `log`. The child is killed when this is
    /// dropped. If this process ends without dropping it, a [`Watchdog`] kills the child and
    /// removes the `temporary` folder.
    pub fn start(
        name: &'static str,
        command: Command,
        log: &Path,
        temporary: Option<&TempDir>,
    ) -> Result<Self> {
        Self::start_with(name, command, log, temporary, AtDrop::Kill)
    }

    /// The same, with another end when this is dropped.
    pub fn start_with(
        name: &'static str,
        mut command: Command,
        log: &Path,
        temporary: Option<&TempDir>,
        at_drop: AtDrop,
    ) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        if file.metadata()?.len() > LOG_BYTES_MAX {
            file.set_len(0)?;
        }
        let child = command
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // The server has its own process group: Ctrl-C is sent only to this process, which
            // then stops the server.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {name}"))?;
        let temporary = temporary.map(TempDir::path);
        let watchdog =
            child.id().map(|pid| Watchdog::start(pid, at_drop, temporary)).transpose()?;
        Ok(Self { child, name, log: log.into(), watchdog, at_drop })
    }

    /// The process id; 0 after its end was noticed.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// Whether it has ended, on its own or because it was killed.
    pub fn has_ended(&mut self) -> Result<bool> {
        let ended = self.child.try_wait()?.is_some();
        if ended {
            self.dismiss();
        }
        Ok(ended)
    }

    /// Fails if it has ended, with the end of its log. Its process id remains reserved.
    pub fn require_running(&self) -> Result<()> {
        let pid = i32::try_from(self.pid()).context("no such process")?;
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(Pid::from_raw(pid)), flags) {
            Ok(WaitStatus::StillAlive) => Ok(()),
            status => bail!("{} has ended ({status:?})\n{}", self.name, self.log_tail()),
        }
    }

    /// Waits until the server ends unexpectedly. Returns an error that describes this.
    pub async fn ended(&mut self) -> anyhow::Error {
        let status = match self.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => format!("{error:#}"),
        };
        anyhow!("{} has ended unexpectedly ({status})\n{}", self.name, self.log_tail())
    }

    /// Waits until `ready` returns true. Fails if the server ends before, or after `limit`.
    pub async fn wait_until<F>(&mut self, limit: Duration, ready: impl Fn() -> F) -> Result<()>
    where
        F: Future<Output = bool>,
    {
        let name = self.name;
        let waiting = async {
            loop {
                let is_ready = ready().await;
                // This is checked after `ready`, because another program on the port may have
                // answered.
                if let Some(status) = self.child.try_wait()? {
                    bail!("{name} ended at its start ({status})\n{}", self.log_tail());
                }
                if is_ready {
                    return Ok(());
                }
                tokio::time::sleep(POLL).await;
            }
        };
        match tokio::time::timeout(limit, waiting).await {
            Ok(result) => result,
            Err(_) => bail!("{name} was not ready after {limit:?}\n{}", self.log_tail()),
        }
    }

    /// The last lines of the server's log.
    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LOG_TAIL_LINES);
        let tail = lines.get(from..).unwrap_or_default().join("\n");
        format!("the end of {}:\n{tail}", self.log.display())
    }

    /// Signals the server to stop.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        // A frozen server handles the other signal only after it continues.
        self.signal(Signal::SIGCONT)
    }

    /// Waits until it has ended.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.dismiss();
        Ok(status)
    }

    /// Signals the server to stop, and kills it if it does not stop in time.
    pub async fn stop(mut self) -> Result<()> {
        self.terminate()?;
        match tokio::time::timeout(STOP_LIMIT, self.wait()).await {
            Ok(status) => {
                let status = status?;
                // The exit status of a JVM contains the signal even after a clean stop.
                let clean = status.success()
                    || status.code() == Some(128 + Signal::SIGTERM as i32)
                    || status.signal() == Some(Signal::SIGTERM as i32);
                if !clean {
                    bail!("{} stopped with {status}\n{}", self.name, self.log_tail());
                }
                Ok(())
            }
            Err(_) => {
                self.kill().await?;
                bail!("{} did not stop within {STOP_LIMIT:?} and was killed", self.name)
            }
        }
    }

    /// Ends the server at once, like a crash.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))?;
        self.dismiss();
        Ok(())
    }

    fn dismiss(&mut self) {
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.dismiss();
        }
    }

    /// Sends a signal, such as SIGSTOP.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // The id must never be 0, which denotes the process group of this process.
        let pid = self.child.id().with_context(|| format!("{} has ended", self.name))?;
        let pid = i32::try_from(pid).context("no such process")?;
        kill(Pid::from_raw(pid), signal)
            .with_context(|| format!("cannot signal {} ({pid})", self.name))
    }
}

impl Drop for Process {
    /// Waits for the end, so that the watchdog is dismissed before the process id can be that of
    /// another process.
    fn drop(&mut self) {
        let signals: &[Signal] = match self.at_drop {
            AtDrop::Kill => &[Signal::SIGKILL],
            AtDrop::Quit => &[Signal::SIGQUIT, Signal::SIGKILL],
        };
        for signal in signals {
            if self.signal(*signal).is_err() || self.ends() {
                return;
            }
        }
    }
}

impl Process {
    /// Waits for at most [`QUIT_LIMIT`]. Returns whether it has ended.
    fn ends(&mut self) -> bool {
        let limit = Instant::now() + QUIT_LIMIT;
        while matches!(self.has_ended(), Ok(false)) && Instant::now() < limit {
            std::thread::sleep(QUIT_POLL);
        }
        self.watchdog.is_none()
    }
}
