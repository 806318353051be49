//! The environment of the container's process: it must contain all variables of the container, and
//! none of the node.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use libcontainer::workload::Executor as _;
use libcontainer::workload::default::DefaultExecutor;

/// The variables that are kept: those that containerd passes to its shims, those that systemd's
/// control groups need, and the log filter.
const KEPT_VARIABLES: [&str; 9] = [
    "DBUS_SESSION_BUS_ADDRESS",
    "DBUS_SYSTEM_BUS_ADDRESS",
    "GRPC_ADDRESS",
    "MAX_SHIM_VERSION",
    "NAMESPACE",
    "PATH",
    "RUST_LOG",
    "TTRPC_ADDRESS",
    "XDG_RUNTIME_DIR",
];

/// Restarts this program with only those variables of containerd's environment that a shim needs.
///
/// The containers' processes are forks of this one and inherit its environment, which is visible in
/// `/proc/1/environ`. A Linux container of the same pod would also get it as its own environment.
pub fn scrub_environment() -> io::Result<()> {
    let (kept, left): (Vec<_>, Vec<_>) = std::env::vars_os().partition(|(name, _)| is_kept(name));
    if left.is_empty() {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0(arguments.next().unwrap_or_default()).args(arguments).env_clear().envs(kept);
    Err(command.exec())
}

fn is_kept(name: &OsStr) -> bool {
    KEPT_VARIABLES.iter().any(|kept| name == *kept)
}

/// Replaces the environment of this process by the container's variables, in the form `NAME=VALUE`.
///
/// Must be called before other threads that read the environment are started.
pub fn apply_container_environment(variables: &[String]) -> Result<()> {
    let pair = |variable: &String| {
        variable.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let variables: HashMap<_, _> = variables.iter().filter_map(pair).collect();
    // The function that containers of other runtimes use to set theirs.
    DefaultExecutor {}.setup_envs(variables).context("cannot set the container's environment")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_node_are_not_kept() {
        for (name, kept) in [
            ("TTRPC_ADDRESS", true),
            ("PATH", true),
            ("AWS_SECRET_ACCESS_KEY", false),
            ("SPIN_VARIABLE_PASSWORD", false),
            ("ttrpc_address", false),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", false),
        ] {
            assert_eq!(is_kept(OsStr::new(name)), kept, "{name}");
        }
    }
}
