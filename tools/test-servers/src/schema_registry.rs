//! A schema registry with Confluent's API: Apicurio Registry.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use child_server::{Process, accepts, free_port};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::WAIT_LIMIT;
use crate::home::{install, run};
use crate::kafka::QUICK;

const VERSION: &str = "3.0.9";

/// The path of Confluent's API.
const API: &str = "apis/ccompat/v7";

/// A running schema registry on the loopback interface, which keeps its schemas in memory. It is
/// killed when dropped.
pub struct SchemaRegistry {
    // The first field, so that the process is killed before its folder is removed.
    process: Process,
    port: u16,
    _folder: TempDir,
}

impl SchemaRegistry {
    /// Installs Apicurio Registry if it is missing, starts it and waits until it accepts
    /// connections.
    pub async fn start() -> Result<Self> {
        let home = tokio::task::spawn_blocking(|| {
            install("apicurio", |home| home.join(format!("apicurio-{VERSION}")), unpack)
        });
        let home = home.await??;
        let folder = TempDir::with_prefix("schema-registry-")?;
        let port = free_port()?;
        let mut java = tokio::process::Command::new("java");
        java.args(QUICK)
            .arg("-XX:+UseSerialGC")
            .arg("-jar")
            .arg(home.join(format!("apicurio-registry-app-{VERSION}-runner.jar")))
            .env("QUARKUS_HTTP_HOST", "127.0.0.1")
            .env("QUARKUS_HTTP_PORT", port.to_string())
            .current_dir(&folder);
        let log = folder.path().join("registry.log");
        let mut process = Process::start("schema registry", java, &log, Some(&folder))?;
        process.wait_until(WAIT_LIMIT, || accepts(port)).await?;
        Ok(Self { process, port, _folder: folder })
    }

    /// The URL of Confluent's API.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/{API}", self.port)
    }

    /// Freezes the registry: it accepts connections, but it does not respond.
    pub fn pause(&self) -> Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Lets it continue after [`SchemaRegistry::pause`].
    pub fn resume(&self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }
}

fn unpack(home: &Path) -> Result<()> {
    let unpacking = TempDir::with_prefix_in("unpacking-", home)?;
    let mut maven = Command::new("mvn");
    maven
        .args(["--quiet", "--batch-mode", "--strict-checksums", "dependency:copy"])
        .arg(format!("-Dartifact=io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"))
        .arg(format!("-DoutputDirectory={}", unpacking.path().display()))
        .current_dir(&unpacking);
    run(&mut maven, "Maven and Java 17 or newer are needed")?;
    let archive = format!("apicurio-registry-app-{VERSION}-all.tar.gz");
    let content = unpacking.path().join("content");
    std::fs::create_dir(&content)?;
    let mut extract = Command::new("tar");
    extract.args(["--extract", "--file", &archive, "--directory"]).arg(&content);
    run(extract.current_dir(&unpacking), "tar is needed")?;
    // The folder is renamed at the end, so that an incomplete one is never used.
    let place = home.join(format!("apicurio-{VERSION}"));
    std::fs::rename(content, &place).with_context(|| place.display().to_string())
}
