//! The Spin plugin, started as `spin up` starts it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Result;
use component_host::manifest;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{program, root};

/// An application that was locked, in a folder of its own.
pub struct Locked {
    /// The manifest's folder, as Spin tells it.
    pub folder: TempDir,
    lock: PathBuf,
}

impl Locked {
    /// Locks the application of a manifest, from the project's root.
    pub fn new(file: &str) -> Result<Self> {
        Self::of(&root().join(file))
    }

    /// Locks the application of the manifest at this path.
    pub fn of(path: &Path) -> Result<Self> {
        let folder = TempDir::new()?;
        let lock = folder.path().join("spin.lock");
        std::fs::write(&lock, serde_json::to_vec(&manifest::read(path)?)?)?;
        Ok(Self { folder, lock })
    }

    /// The plugin, with the environment that Spin gives it.
    pub fn plugin(&self) -> Command {
        let mut command = plugin();
        command
            .env("SPIN_LOCKED_URL", format!("file://{}", self.lock.display()))
            .env("SPIN_WORKING_DIR", self.folder.path())
            .env("SPIN_LOCAL_APP_DIR", self.folder.path())
            .current_dir(self.folder.path());
        command
    }

    /// What a component wrote: `stdout` or `stderr`.
    pub fn log(&self, component: &str, stream: &str) -> Option<String> {
        let file = format!(".spin/logs/{component}_{stream}.txt");
        std::fs::read_to_string(self.folder.path().join(file)).ok()
    }
}

/// The built plugin.
pub fn plugin() -> Command {
    let mut command = Command::new(program("trigger-kafka"));
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}
