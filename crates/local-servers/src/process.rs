//! A server as a child process: started with its log in a file, ended with its parent.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

/// How often readiness is asked for.
const POLL: Duration = Duration::from_millis(25);

/// Time a server gets to stop by itself before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Lines of the log that an error shows.
const LOG_TAIL_LINES: usize = 20;

/// A running server.
pub(crate) struct Process {
    child: Child,
    name: &'static str,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, which writes its output to `log`. The child is killed when this is
    /// dropped, and by the watchdog when this process ends without dropping it.
    pub fn start(name: &'static str, mut command: Command, log: &Path) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // A group of its own: Ctrl-C reaches this process, which stops the server in turn.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {name}"))?;
        let process = Self { child, name, log: log.into() };
        process.watch()?;
        Ok(process)
    }

    /// A shell that waits for this process to end and then kills the server, so that a crash
    /// leaves no orphan. It notices by the end of its standard input.
    fn watch(&self) -> Result<()> {
        let pid = self.pid();
        let script = format!("read -r _; kill -9 {pid} 2>/dev/null");
        let mut watchdog = std::process::Command::new("sh")
            .args(["-c", &script])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .context("cannot run sh")?;
        // The pipe stays open until this process ends: then the watchdog reads its end.
        let pipe = watchdog.stdin.take();
        std::thread::Builder::new().name("watchdog".into()).spawn(move || {
            let _open = pipe;
            let _ = watchdog.wait();
        })?;
        Ok(())
    }

    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
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

    /// Asks the server to stop, and kills it if it does not.
    pub async fn stop(mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        match tokio::time::timeout(STOP_LIMIT, self.child.wait()).await {
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
        self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))
    }

    /// Sends a signal, such as SIGSTOP.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()).context("no such process")?;
        kill(Pid::from_raw(pid), signal)
            .with_context(|| format!("cannot signal {} ({pid})", self.name))
    }
}

/// A loopback port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// Whether something accepts connections on this loopback port.
pub(crate) async fn accepts(port: u16) -> bool {
    tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok()
}
