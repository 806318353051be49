//! Runs one component of an application from a registry in the same way as an operator on a
//! cluster.

use std::process::{Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::doorbuster;
use test_servers::WAIT_LIMIT;

/// The beginnings of lines with an address, and what follows the address.
const ADDRESSES: [(&str, &str); 2] =
    [("Doorbuster is running: ", "/purchase"), ("Operator port: ", "/metrics, /healthz, /readyz")];

/// How an application is run.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The reference of its artifact.
    pub reference: String,
    /// Environment variables of every process.
    pub env: Vec<(String, String)>,
}

/// A running component.
pub struct Retained {
    child: Child,
    log: NamedTempFile,
    /// `http://ADDR:PORT`.
    pub url: String,
    /// Kept until the end, because it is read during the start.
    _runtime_config: NamedTempFile,
}

impl Deployment {
    /// The command with the arguments that SpinKube's operator uses.
    fn command(&self, component: &str, env: &[(&str, &str)]) -> Result<(Command, NamedTempFile)> {
        let runtime_config = NamedTempFile::new()?;
        // The content of the file that the operator writes.
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

    /// Starts a component with additional environment variables.
    pub async fn start(&self, component: &str, env: &[(&str, &str)]) -> Result<Retained> {
        let (mut command, runtime_config) = self.command(component, env)?;
        let log = NamedTempFile::new()?;
        let mut child = command.stdout(Stdio::piped()).stderr(log.reopen()?).spawn()?;
        let stdout = child.stdout.take().context("no output")?;
        let url = tokio::time::timeout(WAIT_LIMIT, address(stdout)).await;
        let url = url.context("no address").flatten().with_context(|| {
            format!("{component}: {}", std::fs::read_to_string(&log).unwrap_or_default())
        })?;
        Ok(Retained { child, log, url, _runtime_config: runtime_config })
    }

    /// Starts a component without waiting for its address.
    pub fn begin(&self, component: &str) -> Result<Retained> {
        let (mut command, runtime_config) = self.command(component, &[])?;
        let log = NamedTempFile::new()?;
        let child = command.stdout(Stdio::null()).stderr(log.reopen()?).spawn()?;
        Ok(Retained { child, log, url: String::new(), _runtime_config: runtime_config })
    }

    /// Runs a component that cannot start, and waits for its end.
    pub async fn fails(&self, component: &str, env: &[(&str, &str)]) -> Result<Output> {
        let (mut command, _runtime_config) = self.command(component, env)?;
        Ok(tokio::time::timeout(WAIT_LIMIT, command.output()).await??)
    }
}

/// The first address in the output. Continues to read, so that the pipe does not fill up.
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
    anyhow::bail!("it ended before it served")
}

impl Retained {
    /// Sends SIGTERM, like Kubernetes.
    pub fn terminate(&self) -> Result<()> {
        let pid = self.child.id().context("it has ended")?;
        Ok(kill(Pid::from_raw(pid.try_into()?), Signal::SIGTERM)?)
    }

    /// Sends SIGTERM, and waits. Fails unless the exit code is 0.
    pub async fn stop(self) -> Result<()> {
        self.terminate()?;
        self.ended().await
    }

    /// Waits for the end. Fails unless the exit code is 0.
    pub async fn ended(mut self) -> Result<()> {
        let status = self.child.wait().await?;
        ensure!(status.success(), "{status}\n{}", self.log());
        Ok(())
    }

    /// What it wrote to stderr so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
