//! Starts the Spin plugin in the same way as `spin up`.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Result;
use spin_app::manifest;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{program, root};

/// The name of the built program.
const PROGRAM: &str = "trigger-kafka";

/// A locked application in its own folder.
pub struct Locked {
    /// The folder of the manifest, which Spin passes to the plugin.
    pub folder: TempDir,
    lock: PathBuf,
}

impl Locked {
    /// Locks the application of a manifest in the project's root.
    pub fn new(file: &str) -> Result<Self> {
        Self::at(&root().join(file))
    }

    /// Locks the application of the manifest at this path.
    pub fn at(path: &Path) -> Result<Self> {
        let folder = TempDir::new()?;
        let lock = folder.path().join("spin.lock");
        std::fs::write(&lock, serde_json::to_vec(&manifest::read(path)?)?)?;
        Ok(Self { folder, lock })
    }

    /// The plugin, with the environment that Spin provides.
    pub fn plugin(&self) -> Command {
        self.with_environment(plugin())
    }

    /// The plugin for AMQP triggers: the same program under another name.
    pub fn amqp_plugin(&self) -> Result<Command> {
        let named = self.folder.path().join("trigger-amqp");
        symlink(program(PROGRAM), &named)?;
        Ok(self.with_environment(command(&named)))
    }

    fn with_environment(&self, mut command: Command) -> Command {
        command
            .env("SPIN_LOCKED_URL", format!("file://{}", self.lock.display()))
            .env("SPIN_WORKING_DIR", self.folder.path())
            .env("SPIN_LOCAL_APP_DIR", self.folder.path())
            .current_dir(self.folder.path());
        command
    }

    /// The output of a component: `stream` is `stdout` or `stderr`.
    pub fn log(&self, component: &str, stream: &str) -> Option<String> {
        let file = format!(".spin/logs/{component}_{stream}.txt");
        std::fs::read_to_string(self.folder.path().join(file)).ok()
    }
}

/// The built plugin.
pub fn plugin() -> Command {
    command(&program(PROGRAM))
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}
