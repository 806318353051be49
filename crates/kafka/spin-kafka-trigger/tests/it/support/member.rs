//! An engine in a separate process: a test runs its own program again, restricted to that test,
//! with settings that make it the engine.

use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

/// The environment variable with the settings of the process.
const SETTINGS: &str = "MEMBER_SETTINGS";

/// Starts the test `name` (`module::function`) of this program, with these settings.
pub fn start(name: &str, settings: &serde_json::Value, log: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(SETTINGS, settings.to_string())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The settings, if this is such a process; `None` in the test itself.
pub fn settings() -> Option<serde_json::Value> {
    let settings = std::env::var(SETTINGS).ok()?;
    Some(serde_json::from_str(&settings).unwrap())
}

/// Resolves at SIGTERM.
pub async fn terminated() {
    let mut signal =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    signal.recv().await;
}
