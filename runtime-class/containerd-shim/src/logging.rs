//! The log of the shim itself, which containerd includes in its own log.

use std::fs::File;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

/// A named pipe in the folder in which containerd starts its shims.
const PIPE: &str = "log";

/// Logs warnings, or what `RUST_LOG` in containerd's environment selects. Without the pipe, for
/// example if a user requests the version, nothing is logged.
pub fn start() {
    let Ok(pipe) = File::options().write(true).open(PIPE) else { return };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_writer(Mutex::new(pipe))
        .with_ansi(false)
        .with_env_filter(filter)
        .init();
}
