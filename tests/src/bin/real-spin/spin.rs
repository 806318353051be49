//! A real Spin with the packed plugin.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pipeline_tests::root;
use tempfile::TempDir;
use test_servers::{Kafka, Valkey};
use tokio::process::{Child, Command};

use crate::hosts::Application;

const ONLY_KAFKA: &str = r#"
spin_manifest_version = 2
[application]
name = "only-kafka"
[[trigger.kafka]]
topic = "t"
group = "g"
component = "aggregator"
[component.aggregator]
source = "WASM"
"#;

/// A Spin without any other plugin.
pub struct Spin {
    program: PathBuf,
    data: TempDir,
}

impl Spin {
    /// Installs the plugin.
    pub async fn new(program: PathBuf) -> Result<Self> {
        let spin = Self { program, data: tempfile::tempdir()? };
        let manifest = root().join("target/plugin/trigger-kafka.json");
        let install = ["plugins", "install", "--yes", "--file"];
        let output = spin.command().args(install).arg(&manifest).output().await;
        let output = output.with_context(|| format!("cannot run {}", spin.program.display()))?;
        ensure!(output.status.success(), "{}", text(&output));
        println!("{}", text(&output).trim());
        Ok(spin)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("SPIN_DATA_DIR", self.data.path()).current_dir(root()).kill_on_drop(true);
        command
    }

    /// Checks that help and errors are shown as for a trigger that is part of Spin.
    pub async fn answers_for_the_plugin(&self, from: &Path) -> Result<()> {
        // For an application with triggers of several types, Spin shows the help of none of them.
        let only_kafka = self.data.path().join("only-kafka.toml");
        let wasm = root().join("target/components/aggregator.wasm");
        std::fs::write(&only_kafka, ONLY_KAFKA.replace("WASM", &wasm.to_string_lossy()))?;
        let help = self.command().args(["up", "--help", "-f"]).arg(only_kafka).output().await?;
        let shown = text(&help).contains("Kafka trigger options");
        ensure!(shown, "spin up --help does not show the plugin's flags: {}", text(&help));
        let wrong = self.command().args(["up", "--nonsense", "-f"]).arg(from).output().await?;
        let refused = !wrong.status.success() && text(&wrong).contains("--nonsense");
        ensure!(refused, "a wrong flag is not refused: {}", text(&wrong));
        println!("help and wrong flags are as Spin's");
        Ok(())
    }

    /// Starts an application on these servers.
    pub fn up(
        &self,
        app: &Application<'_>,
        port: u16,
        kafka: &Kafka,
        valkey: &Valkey,
    ) -> Result<Up> {
        let (brokers, url) = (kafka.bootstrap(), valkey.url());
        let servers = [
            ("kafka_brokers", brokers.as_str()),
            ("valkey_url", &url),
            ("valkey_address", url.trim_start_matches("redis://")),
        ];
        let mut command = self.command();
        command.args(["up", "--quiet", "--listen", &format!("127.0.0.1:{port}"), "-f"]);
        command.arg(app.manifest).args(app.profile.iter().flat_map(|name| ["--profile", name]));
        for (name, value) in servers.iter().chain(app.variables) {
            command.args(["--variable", &format!("{name}={value}")]);
        }
        command.process_group(0).stdin(Stdio::null());
        Ok(Up(command.spawn()?))
    }

    /// The processes that run the plugin of this Spin.
    pub fn plugins(&self) -> Vec<PathBuf> {
        let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
        let programs = processes.flatten().map(|process| process.path().join("exe").read_link());
        programs.flatten().filter(|program| program.starts_with(self.data.path())).collect()
    }
}

/// A running `spin up` with the processes of its triggers.
pub struct Up(Child);

impl Up {
    /// Waits until it ends by itself.
    pub async fn ended(mut self) -> Result<ExitStatus> {
        Ok(self.0.wait().await?)
    }

    /// Sends SIGINT to the whole process group, like Ctrl-C on a terminal, and waits until it ends.
    pub async fn interrupt(self) -> Result<()> {
        self.signal(Signal::SIGINT)?;
        let status = self.ended().await?;
        ensure!(status.success(), "spin up ended with {status}");
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.0.id().context("spin up has ended")?;
        Ok(kill(Pid::from_raw(-i32::try_from(pid)?), signal)?)
    }
}

/// `spin up` does not end its triggers when it is killed.
impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.signal(Signal::SIGKILL);
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}
