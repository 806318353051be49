//! The log of the shim itself, which containerd writes into its own.

use std::fs::File;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

/// A pipe in the folder where containerd starts its shims.
const PIPE: &str = "log";

/// Warnings, or what `RUST_LOG` says, in containerd's environment. Without the pipe, as when
/// somebody asks for the version, nothing is logged.
pub fn start() {
    let Ok(pipe) = File::options().write(true).open(PIPE) else { return };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_writer(Mutex::new(pipe))
        .with_ansi(false)
        .with_env_filter(filter)
        .init();
}
