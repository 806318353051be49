//! The environment: nothing of the node's reaches an application, all of the container's does.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use libcontainer::workload::Executor as _;
use libcontainer::workload::default::DefaultExecutor;

/// What containerd tells its shims, where systemd is asked for control groups, and what is logged.
const OF_THE_SHIM: [&str; 9] = [
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

/// Starts this program anew, with only what a shim needs of containerd's environment.
///
/// The containers' processes are forks of this one: what is in its environment is in theirs, where
/// `/proc/1/environ` shows it, and a Linux container of the same pod gets it as its own.
pub fn leave_the_nodes() -> io::Result<()> {
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
    OF_THE_SHIM.iter().any(|kept| name == *kept)
}

/// Puts the container's variables, `NAME=VALUE`, in the place of this process's.
///
/// To be called before there is a thread that reads them.
pub fn become_the_containers(variables: &[String]) -> Result<()> {
    let pair = |variable: &String| {
        variable.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let variables: HashMap<_, _> = variables.iter().filter_map(pair).collect();
    // What containers of other runtimes get theirs by.
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
