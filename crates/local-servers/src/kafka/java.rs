//! Kafka's programs: the jars, and what runs from them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::home::{install, run};

const NEEDED: &str = "Java 17 or newer is needed";

/// Any 22 characters of base64; clusters that never meet need no better.
const CLUSTER_ID: &str = "doorbusterlocalcluster";

/// Options of a JVM that has the machine to itself.
pub(crate) const ROOMY: &[&str] = &["-Xms512m", "-Xmx512m"];

/// Options of a JVM among others. Its code is compiled quickly rather than well, which halves the
/// time until it is ready: several start at once, on few cores.
pub(crate) const SMALL: &[&str] = &["-Xms256m", "-Xmx256m", "-XX:TieredStopAtLevel=1"];

const POM: &str = include_str!("pom.xml");

/// Java with Kafka's jars.
#[derive(Debug, Clone)]
pub(crate) struct Java {
    classpath: String,
}

impl Java {
    /// Installs the jars if need be. Blocks.
    pub fn install() -> Result<Self> {
        let jars = install("kafka", |home| home.join("kafka/libs"), copy_jars)?;
        Ok(Self { classpath: format!("{}/*", jars.display()) })
    }

    /// A broker's command; `options` are the JVM's.
    pub fn broker(&self, options: &[&str], properties: &Path) -> Command {
        let mut command = self.command(options);
        command.arg("kafka.Kafka").arg(properties);
        command
    }

    /// Makes a broker's folder ready for its first start. Blocks.
    pub fn format(&self, properties: &Path, args: &[String]) -> Result<()> {
        let mut format = self.command(SMALL);
        format
            .args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "-c"])
            .arg(properties)
            .args(args);
        run(&mut format, NEEDED)?;
        Ok(())
    }

    /// Runs a command line tool on the brokers at `bootstrap`; answers what it printed.
    pub async fn tool(&self, bootstrap: &str, class: &str, args: &[&str]) -> Result<String> {
        let mut command = self.command(SMALL);
        command.args([class, "--bootstrap-server", bootstrap]).args(args);
        tokio::task::spawn_blocking(move || run(&mut command, NEEDED)).await?
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut java = Command::new("java");
        java.args(options).args(["-XX:+UseSerialGC", "-cp", &self.classpath]);
        java
    }
}

fn copy_jars(home: &Path) -> Result<()> {
    let folder = home.join("kafka");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("pom.xml"), POM)?;
    let copied = folder.join("copying");
    let mut maven = Command::new("mvn");
    maven
        .args(["--quiet", "--batch-mode", "dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", copied.display()))
        .current_dir(&folder);
    run(&mut maven, "Maven and Java 17 or newer are needed")?;
    // Renamed at the end: a folder half filled by a failed run is never taken for whole.
    fs::rename(copied, folder.join("libs")).context("cannot finish the installation")
}
