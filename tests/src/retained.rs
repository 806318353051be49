//! One component of an application out of a registry, run as an operator on a cluster runs it.

use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::doorbuster;

/// How long a start may take, on a machine that does other things too.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Lines that end with an address, and how it ends in them.
const ADDRESSES: [(&str, &str); 2] =
    [("Doorbuster is running: ", "/purchase"), ("Operators: ", "/metrics, /healthz, /readyz")];

/// How an application is run.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Its artifact.
    pub reference: String,
    /// The environment of every process.
    pub env: Vec<(String, String)>,
}

/// A running component.
pub struct Retained {
    child: Child,
    log: NamedTempFile,
    /// `http://ADDR:PORT`.
    pub url: String,
    /// It is read while it starts.
    _runtime_config: NamedTempFile,
}

impl Deployment {
    /// With the arguments of SpinKube's operator.
    fn command(&self, component: &str, env: &[(&str, &str)]) -> Result<(Command, NamedTempFile)> {
        let runtime_config = NamedTempFile::new()?;
        // What the operator writes.
        let text = "[[config_provider]]\ntype = 'env'\nprefix = 'SPIN_VARIABLE_'\n";
        std::fs::write(&runtime_config, text)?;
        let mut command = doorbuster();
        command
            .args(["up", "--listen", "127.0.0.1:0", "-f", &self.reference])
            .arg("--runtime-config-file")
            .arg(runtime_config.path())
            .args(["--component-id", component])
            .env("SPIN_COMPONENTS_TO_RETAIN", component)
            .env("DOORBUSTER_NO_EMBEDDED", "true")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .envs(env.iter().copied());
        Ok((command, runtime_config))
    }

    /// Starts a component with further variables in its environment.
    pub async fn start(&self, component: &str, env: &[(&str, &str)]) -> Result<Retained> {
        let (mut command, runtime_config) = self.command(component, env)?;
        let log = NamedTempFile::new()?;
        let mut child = command.stdout(Stdio::piped()).stderr(log.reopen()?).spawn()?;
        let stdout = child.stdout.take().context("no output")?;
        let url = tokio::time::timeout(START_LIMIT, address(stdout)).await;
        let url = url.context("no address").flatten().with_context(|| {
            format!("{component}: {}", std::fs::read_to_string(&log).unwrap_or_default())
        })?;
        Ok(Retained { child, log, url, _runtime_config: runtime_config })
    }

    /// Begins to start a component.
    pub fn begin(&self, component: &str) -> Result<Retained> {
        let (mut command, runtime_config) = self.command(component, &[])?;
        let log = NamedTempFile::new()?;
        let child = command.stdout(Stdio::null()).stderr(log.reopen()?).spawn()?;
        Ok(Retained { child, log, url: String::new(), _runtime_config: runtime_config })
    }

    /// Runs a component that cannot start, to its end.
    pub async fn fails(&self, component: &str, env: &[(&str, &str)]) -> Result<Output> {
        let (mut command, _runtime_config) = self.command(component, env)?;
        Ok(tokio::time::timeout(START_LIMIT, command.output()).await??)
    }
}

/// The first address that is told; the rest is read, too, so that the pipe never fills.
async fn address(stdout: ChildStdout) -> Result<String> {
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        for (before, after) in ADDRESSES {
            if let Some(url) = line.strip_prefix(before) {
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(url.trim_end_matches(after).to_owned());
            }
        }
    }
    anyhow::bail!("it ended before it ran")
}

impl Retained {
    /// Asks it to end, as Kubernetes does.
    pub fn terminate(&self) -> Result<()> {
        let pid = self.child.id().context("it has ended")?;
        Ok(kill(Pid::from_raw(pid.try_into()?), Signal::SIGTERM)?)
    }

    /// Asks it to end, and fails unless it ends well.
    pub async fn stop(self) -> Result<()> {
        self.terminate()?;
        self.ended().await
    }

    /// Waits for its end, and fails unless it is a good one.
    pub async fn ended(mut self) -> Result<()> {
        let status = self.child.wait().await?;
        ensure!(status.success(), "{status}\n{}", self.log());
        Ok(())
    }

    /// What it wrote on stderr so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
