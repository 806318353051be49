//! Runs Kafka's programs from its jars.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use tokio::runtime::Handle;

use crate::home::{install, run};
use crate::kafka::class_archive;

const NEEDED: &str = "Java 17 or newer is needed";

/// Any 22 characters of base64. All clusters may have the same id, because they never connect to
/// each other.
const CLUSTER_ID: &str = "doorbusterlocalcluster";

/// JVM options for a broker that is measured or runs for a long time.
pub(crate) const TUNED: &[&str] = &["-Xms512m", "-Xmx512m"];

/// JVM options for a quick start of a short-lived process. Only the first of the two compilers is
/// used, which halves the CPU time until a broker is ready.
pub(crate) const QUICK: &[&str] = &["-Xms256m", "-Xmx256m", "-XX:TieredStopAtLevel=1"];

const POM: &str = include_str!("pom.xml");

/// Java with Kafka's jars.
#[derive(Debug, Clone)]
pub(crate) struct Java {
    classpath: String,
    /// The option that reads or writes an archive of loaded classes (application class-data
    /// sharing). Reading an archive halves the CPU time of a start, in addition to the effect of
    /// the JVM options for a quick start. A JVM that cannot use the file ignores it.
    class_archive: Option<String>,
}

impl Java {
    /// Installs the jars and the class archive if they are missing. Blocks, so it must run on a
    /// thread that may block on `runtime`.
    pub fn install(runtime: &Handle) -> Result<Self> {
        let jars = install("kafka", |home| home.join("kafka/libs"), copy_jars)?;
        let classpath = format!("{}/*", jars.display());
        let plain = Self { classpath, class_archive: None };
        let archive = install("kafka-classes", archive_path, |home| {
            runtime.block_on(class_archive::write(plain.clone(), &archive_path(home)))
        })?;
        let option = format!("-XX:SharedArchiveFile={}", archive.display());
        Ok(Self { class_archive: Some(option), ..plain })
    }

    /// The same, but each JVM writes the archive when it ends.
    pub fn writing_archive(&self, path: &Path) -> Self {
        let option = format!("-XX:ArchiveClassesAtExit={}", path.display());
        Self { class_archive: Some(option), ..self.clone() }
    }

    /// The command that runs a broker. `options` are JVM options.
    pub fn broker(&self, options: &[&str], properties: &Path) -> Command {
        let mut command = self.command(options);
        command.arg("kafka.Kafka").arg(properties);
        command
    }

    /// Formats a broker's folder before its first start. Blocks.
    pub fn format(&self, properties: &Path, args: &[String]) -> Result<()> {
        let mut format = self.command(QUICK);
        format
            .args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "-c"])
            .arg(properties)
            .args(args);
        run(&mut format, NEEDED)?;
        Ok(())
    }

    /// Runs a command line tool on the brokers at `bootstrap` and returns its output.
    pub async fn tool(&self, bootstrap: &str, class: &str, args: &[&str]) -> Result<String> {
        let mut command = self.command(QUICK);
        command.args([class, "--bootstrap-server", bootstrap]).args(args);
        tokio::task::spawn_blocking(move || run(&mut command, NEEDED)).await?
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut java = Command::new("java");
        java.args(&self.class_archive)
            // Without this, a JVM that does not use the archive prints the reason to standard
            // output.
            .args(["-Xlog:disable", "-XX:+UseSerialGC"])
            .args(options)
            .args(["-cp", &self.classpath]);
        java
    }
}

fn archive_path(home: &Path) -> PathBuf {
    home.join("kafka/classes.jsa")
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
    // The folder is renamed at the end, so that an incomplete one is never used.
    fs::rename(copied, folder.join("libs")).context("cannot finish the installation")
}
