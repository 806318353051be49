//! What is compared, and how each is started.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use tokio::process::Command;

use crate::process::{Process, free_address};
use crate::servers::Servers;

/// One of the pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contender {
    /// Without WebAssembly: what the others are measured against.
    Native,
    /// Ours, the request path in one component.
    Fused,
    /// Ours, each hop a component of its own.
    Chained,
}

impl Contender {
    /// In the order of their turns.
    pub const ALL: [Self; 3] = [Self::Native, Self::Fused, Self::Chained];

    /// Starts the request path alone and waits until it listens.
    pub async fn start_accept(
        self,
        topic: &str,
        servers: &Servers,
    ) -> Result<(Process, SocketAddr)> {
        let address = free_address()?;
        let command = match self.manifest() {
            None => native(
                "accept",
                topic,
                servers,
                &["--listen", &address.to_string()],
            )?,
            Some(manifest) => {
                let manifest = request_path_of(Path::new(manifest))?;
                ours(&manifest, address, servers, &[("kafka_topic", topic)])?
            }
        };
        let mut process = Process::start(&format!("accept-{self}"), command)?;
        process
            .listens(address)
            .await
            .with_context(|| format!("{self}, accept"))?;
        Ok((process, address))
    }

    /// Starts the way from Kafka to Valkey.
    pub fn start_drain(self, topic: &str, group: &str, servers: &Servers) -> Result<Process> {
        let command = match self.manifest() {
            None => {
                let url = servers.valkey.url();
                native(
                    "drain",
                    topic,
                    servers,
                    &["--group", group, "--valkey", &url],
                )?
            }
            Some(manifest) => {
                let variables = [("kafka_topic", topic), ("kafka_group", group)];
                ours(Path::new(manifest), free_address()?, servers, &variables)?
            }
        };
        Process::start(&format!("drain-{self}"), command)
    }

    fn manifest(self) -> Option<&'static str> {
        match self {
            Self::Native => None,
            Self::Fused => Some("spin-fused.toml"),
            Self::Chained => Some("spin.toml"),
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Native => "native",
            Self::Fused => "fused",
            Self::Chained => "chained",
        })
    }
}

/// A program that the same build made.
pub fn program(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe().context("cannot tell where this program is")?;
    Ok(this.with_file_name(name))
}

fn native(what: &str, topic: &str, servers: &Servers, rest: &[&str]) -> Result<Command> {
    let mut command = Command::new(program("native-bench")?);
    command
        .args([what, "--kafka", &servers.brokers(), "--topic", topic])
        .args(rest);
    Ok(command)
}

fn ours(
    manifest: &Path,
    listen: SocketAddr,
    servers: &Servers,
    variables: &[(&str, &str)],
) -> Result<Command> {
    let mut command = Command::new(program("doorbuster")?);
    command.arg("up").arg("--from").arg(manifest);
    command.args(["--listen", &listen.to_string()]);
    command.args([
        "--kafka",
        &servers.brokers(),
        "--valkey",
        &servers.valkey.url(),
    ]);
    for (name, value) in variables {
        command.args(["--variable", &format!("{name}={value}")]);
    }
    Ok(command)
}

/// The application without its Kafka trigger, in a file of its own: the native program that
/// it is compared with does not consume either.
fn request_path_of(manifest: &Path) -> Result<PathBuf> {
    let place = || manifest.display().to_string();
    let text = std::fs::read_to_string(manifest).with_context(place)?;
    let mut app: toml::Table = text.parse().with_context(place)?;
    let folder = std::path::absolute(manifest)?
        .parent()
        .map(Path::to_owned)
        .unwrap_or_default();
    drop_kafka(&mut app);
    make_paths_absolute(&mut app, &folder);
    let out = Path::new("target/bench").join(manifest.file_name().unwrap_or_default());
    std::fs::create_dir_all("target/bench")?;
    std::fs::write(&out, app.to_string())
        .with_context(|| format!("cannot write {}", out.display()))?;
    Ok(out)
}

/// Takes out the Kafka triggers and the components that only they call.
fn drop_kafka(app: &mut toml::Table) {
    let removed = table(app, "trigger").and_then(|triggers| triggers.remove("kafka"));
    let triggers = removed
        .as_ref()
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten();
    let called: Vec<&str> = triggers
        .filter_map(|t| t.get("component")?.as_str())
        .collect();
    if let Some(components) = table(app, "component") {
        components.retain(|name, _| !called.contains(&name.as_str()));
    }
}

/// The file moves: what its paths started from is written out.
fn make_paths_absolute(app: &mut toml::Table, folder: &Path) {
    for (_, component) in table(app, "component").into_iter().flatten() {
        let Some(component) = component.as_table_mut() else {
            continue;
        };
        absolute(component, "source", folder);
        for (_, dependency) in table(component, "dependencies").into_iter().flatten() {
            if let Some(dependency) = dependency.as_table_mut() {
                absolute(dependency, "path", folder);
            }
        }
    }
}

fn absolute(table: &mut toml::Table, key: &str, folder: &Path) {
    if let Some(toml::Value::String(path)) = table.get_mut(key) {
        *path = folder.join(&*path).to_string_lossy().into_owned();
    }
}

fn table<'a>(table: &'a mut toml::Table, key: &str) -> Option<&'a mut toml::Table> {
    table.get_mut(key)?.as_table_mut()
}
