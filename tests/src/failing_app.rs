//! An application with one Kafka component, the guest `fails-on-command`, and its own topic.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use host_producer::{NewTopic, OutgoingRecord, Producer, ProducerConfig, ensure_topic};
use tempfile::TempDir;
use test_servers::free_port;
use tokio::process::Command;

use crate::pipeline::{Pipeline, doorbuster, root};

/// The name of the build in the guest. It has the same length as [`OTHER_BUILD`].
const BUILD: &[u8] = b"the first build";
/// The name that a test writes over it.
pub const OTHER_BUILD: &str = "the other build";

/// The application's folder, topic and broker.
pub struct FailingApp {
    folder: TempDir,
    brokers: String,
    topic: String,
    operator: String,
}

impl FailingApp {
    /// Creates the topic with one partition, and a manifest with these trigger settings.
    pub async fn new(brokers: &str, topic: &str, settings: &str) -> Result<Self> {
        ensure_topic(&ProducerConfig::new(brokers), NewTopic::new(topic, 1)).await?;
        let folder = TempDir::new_in(root().join("target"))?;
        std::fs::copy(root().join("target/components/fails_on_command.wasm"), wasm(folder.path()))?;
        let manifest = format!(
            r#"
spin_manifest_version = 2
[application]
name = "fails-on-command"
[variables]
kafka_brokers = {{ default = "" }}
[[trigger.kafka]]
component = "fails-on-command"
brokers = "{{{{ kafka_brokers }}}}"
topic = "{topic}"
group = "{topic}"
retry_backoff_ms = 1
{settings}
[component.fails-on-command]
source = "fails_on_command.wasm"
"#
        );
        std::fs::write(folder.path().join("spin.toml"), manifest)?;
        let operator = format!("127.0.0.1:{}", free_port()?);
        Ok(Self { folder, brokers: brokers.into(), topic: topic.into(), operator })
    }

    fn manifest(&self) -> PathBuf {
        self.folder.path().join("spin.toml")
    }

    /// Runs the application.
    pub async fn up(&self, more: &[&str]) -> Result<Pipeline> {
        let operator = ["--operator", self.operator.as_str()];
        Pipeline::of_manifest(&self.manifest(), &self.brokers, &[&operator, more].concat()).await
    }

    /// Replaces the component by another build.
    pub fn replace_build(&self) -> Result<()> {
        let file = wasm(self.folder.path());
        let mut bytes = std::fs::read(&file)?;
        let at = bytes.windows(BUILD.len()).position(|window| window == BUILD);
        let at = at.context("the guest does not name its build")?;
        bytes.splice(at..at + BUILD.len(), OTHER_BUILD.bytes());
        let new = self.folder.path().join("new.wasm");
        std::fs::write(&new, bytes)?;
        Ok(std::fs::rename(new, file)?)
    }

    /// Replaces the component by a file that is not a component.
    pub fn break_component(&self) -> Result<()> {
        Ok(std::fs::write(wasm(self.folder.path()), "no component")?)
    }

    /// Writes records with these values.
    pub async fn produce(&self, values: &[&str]) -> Result<()> {
        let record = |value: &&str| OutgoingRecord {
            topic: self.topic.clone(),
            key: None,
            value: Some(value.as_bytes().to_vec()),
            ..OutgoingRecord::default()
        };
        let producer = Producer::new(ProducerConfig::new(&self.brokers))?;
        producer.send(values.iter().map(record).collect()).await?;
        Ok(())
    }

    /// The address of the operator port: `HOST:PORT`.
    pub fn operator(&self) -> &str {
        &self.operator
    }

    /// Requests a path of the operator port. Returns status and body; None if it does not answer.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let answer = reqwest::get(format!("http://{}{path}", self.operator)).await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    /// The value of a metric of the component.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let (_, metrics) = self.get("/metrics").await?;
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name}{{")))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// Runs a command of the program for this application, and returns its output. Fails if the
    /// command fails.
    pub async fn command(&self, words: &[&str]) -> Result<String> {
        let mut command: Command = doorbuster();
        command.args(words).arg("--from").arg(self.manifest()).args(["--kafka", &self.brokers]);
        let output = command.output().await?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        anyhow::ensure!(output.status.success(), "{words:?}: {error}");
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn wasm(folder: &Path) -> PathBuf {
    folder.join("fails_on_command.wasm")
}
