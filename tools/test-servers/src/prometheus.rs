//! A Prometheus server.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::process::Command;

use crate::WAIT_LIMIT;
use crate::debian::Package;
use child_server::{Process, accepts, free_port};

/// Debian's package.
const PACKAGE: Package =
    Package { name: "prometheus", folder: "usr/bin", programs: &["prometheus"] };

/// A running Prometheus on the loopback interface. It is killed when dropped, and its data is
/// deleted.
pub struct Prometheus {
    process: Process,
    port: u16,
    _folder: TempDir,
}

impl Prometheus {
    /// Installs the program if it is missing, starts it and waits until it answers. Every second it
    /// reads `/metrics` of `target` (`HOST:PORT`), and adds these labels to each metric.
    pub async fn start(target: &str, labels: &[(&str, &str)]) -> Result<Self> {
        let programs = tokio::task::spawn_blocking(|| PACKAGE.find()).await??;
        let folder = TempDir::with_prefix("prometheus-")?;
        let config = folder.path().join("prometheus.yml");
        fs::write(&config, configuration(target, labels))
            .with_context(|| format!("cannot write {}", config.display()))?;
        let port = free_port()?;
        let mut command = Command::new(programs.join("prometheus"));
        command.args(arguments(&config, &folder.path().join("data"), port));
        let log = folder.path().join("prometheus.log");
        let mut process = Process::start("prometheus", command, &log, Some(&folder))?;
        process.wait_until(WAIT_LIMIT, || accepts(port)).await?;
        Ok(Self { process, port, _folder: folder })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Stops it.
    pub async fn stop(self) -> Result<()> {
        self.process.stop().await
    }
}

fn arguments(config: &Path, data: &Path, port: u16) -> [String; 3] {
    [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", data.display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ]
}

fn configuration(target: &str, labels: &[(&str, &str)]) -> String {
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}: \"{value}\"")).collect();
    let labels = labels.join(", ");
    format!(
        "global: {{scrape_interval: 1s}}\n\
         scrape_configs:\n  \
         - job_name: doorbuster\n    \
         static_configs: [{{targets: [\"{target}\"], labels: {{{labels}}}}}]\n"
    )
}
