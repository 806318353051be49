//! A server as a child process: started with its log in a file, ended with its parent.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::watchdog::Watchdog;

/// How often readiness is asked for.
const POLL: Duration = Duration::from_millis(25);

/// Time a server gets to stop by itself before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Size of a log above which a start empties it.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// Lines of the log that an error shows.
const LOG_TAIL_LINES: usize = 20;

/// A running server.
pub(crate) struct Process {
    child: Child,
    name: &'static str,
    log: PathBuf,
    /// None once the server has ended.
    watchdog: Option<Watchdog>,
}

impl Process {
    /// Starts `command`, which writes its output to `log`. The child is killed when this is
    /// dropped, and by a [`Watchdog`] when this process ends without dropping it; the watchdog
    /// removes the `temporary` folder, too.
    pub fn start(
        name: &'static str,
        mut command: Command,
        log: &Path,
        temporary: Option<&TempDir>,
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
            // A group of its own: Ctrl-C reaches this process, which stops the server in turn.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {name}"))?;
        let temporary = temporary.map(TempDir::path);
        let watchdog = child.id().map(|pid| Watchdog::start(pid, temporary)).transpose()?;
        Ok(Self { child, name, log: log.into(), watchdog })
    }

    /// Its process id; 0 once its end was noticed.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// Whether it has ended by itself or was killed.
    pub fn has_ended(&mut self) -> Result<bool> {
        let ended = self.child.try_wait()?.is_some();
        if ended {
            self.dismiss();
        }
        Ok(ended)
    }

    /// Waits until the server ends by itself; answers what to say about it.
    pub async fn ended(&mut self) -> anyhow::Error {
        let status = match self.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => format!("{error:#}"),
        };
        anyhow!("{} has ended by itself ({status})\n{}", self.name, self.log_tail())
    }

    /// Waits until `ready` says so; fails when the server ends or `limit` passes before.
    pub async fn wait_until<F>(&mut self, limit: Duration, ready: impl Fn() -> F) -> Result<()>
    where
        F: Future<Output = bool>,
    {
        let name = self.name;
        let waiting = async {
            loop {
                let is_ready = ready().await;
                // Asked after `ready`: another program on the port may have answered for it.
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

    /// The end of the server's log.
    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LOG_TAIL_LINES);
        let tail = lines.get(from..).unwrap_or_default().join("\n");
        format!("the end of {}:\n{tail}", self.log.display())
    }

    /// Asks the server to stop.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        // A frozen server sees the other signal only when it goes on.
        self.signal(Signal::SIGCONT)
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.dismiss();
        Ok(status)
    }

    /// Asks the server to stop, and kills it if it does not.
    pub async fn stop(mut self) -> Result<()> {
        self.terminate()?;
        match tokio::time::timeout(STOP_LIMIT, self.wait()).await {
            Ok(status) => {
                let status = status?;
                // A JVM ends by the signal's number even after a clean stop.
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

    /// Ends the server at once, as a crash does.
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
        // Never 0, which would mean this process and all of its group.
        let pid = self.child.id().with_context(|| format!("{} has ended", self.name))?;
        let pid = i32::try_from(pid).context("no such process")?;
        kill(Pid::from_raw(pid), signal)
            .with_context(|| format!("cannot signal {} ({pid})", self.name))
    }
}
