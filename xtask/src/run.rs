//! Runs programs from the project's root and stops at the first that fails.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::profile::Profile;

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Into::into).unwrap_or_default()
}

/// Runs `program args…` in the root, its output shown.
pub fn run(program: &str, args: &[&str]) -> Result<()> {
    finish(Command::new(program).args(args))
}

/// Runs `cargo args…`.
pub fn cargo(args: &[&str]) -> Result<()> {
    finish(cargo_command().args(args))
}

/// The same with these variables in its environment.
pub fn cargo_with(args: &[String], variables: &[(&str, String)]) -> Result<()> {
    finish(cargo_command().args(args).envs(variables.iter().map(|(name, value)| (name, value))))
}

/// The cargo on the PATH, as everybody else calls it: what was built through another path to the
/// same compiler is not reused.
pub fn cargo_command() -> Command {
    let mut command = Command::new("cargo");
    // `cargo xtask` describes this package in them, and build scripts that depend on one would run
    // again.
    let describes_package = |name: &str| {
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|p| name.starts_with(p))
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(describes_package) {
            command.env_remove(name);
        }
    }
    command
}

fn finish(command: &mut Command) -> Result<()> {
    let shown = std::iter::once(command.get_program()).chain(command.get_args());
    let shown = shown.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    printing::note(format_args!("$ {shown}"));
    let status = command.current_dir(root()).status();
    let status = status.with_context(|| format!("cannot run `{shown}`; is it installed?"))?;
    ensure!(status.success(), "`{shown}` failed: {status}");
    Ok(())
}

/// Becomes `doorbuster <subcommand> args…`, so that signals go straight to it.
pub fn doorbuster(profile: Profile, subcommand: &str, args: &[String]) -> Result<()> {
    let mut all = vec![subcommand.to_owned()];
    all.extend_from_slice(args);
    replace(&profile.program("doorbuster"), &all)
}

/// Runs the program that checks the manifests.
pub fn manifests(task: &str) -> Result<()> {
    cargo(&["run", "--quiet", "--bin", "manifests", "--", task])
}

/// Becomes the program.
pub fn replace(program: &Path, args: &[String]) -> Result<()> {
    let error = Command::new(program).args(args).current_dir(root()).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
