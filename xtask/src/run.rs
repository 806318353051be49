//! Runs programs in the project's root.

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

/// Runs `program args…` in the project's root, with its output shown. Fails if it fails.
pub fn run(program: &str, args: &[&str]) -> Result<()> {
    finish(Command::new(program).args(args))
}

/// The standard output of `program args…`. Fails if it fails.
pub fn output(program: &str, args: &[&str]) -> Result<String> {
    output_of(Command::new(program).args(args))
}

/// The same for any command, which runs in the project's root.
pub fn output_of(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.current_dir(root()).output();
    let output = output.with_context(|| format!("cannot run `{shown}`; is it installed?"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{shown}` failed: {}\n{errors}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs `cargo args…`.
pub fn cargo(args: &[&str]) -> Result<()> {
    finish(cargo_command().args(args))
}

/// The same with these environment variables.
pub fn cargo_with(args: &[String], variables: &[(&str, String)]) -> Result<()> {
    finish(cargo_command().args(args).envs(variables.iter().map(|(name, value)| (name, value))))
}

/// The cargo on the PATH, as in a shell: what was built through another path to the same compiler
/// is not reused.
pub fn cargo_command() -> Command {
    let mut command = Command::new("cargo");
    // `cargo xtask` sets variables that describe this package. Build scripts that depend on one of
    // them would run again.
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

fn shown(command: &Command) -> String {
    let shown = std::iter::once(command.get_program()).chain(command.get_args());
    shown.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn finish(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    printing::note(format_args!("$ {shown}"));
    let status = command.current_dir(root()).status();
    let status = status.with_context(|| format!("cannot run `{shown}`; is it installed?"))?;
    ensure!(status.success(), "`{shown}` failed: {status}");
    Ok(())
}

/// Replaces this process by `doorbuster <subcommand> args…`, so that it gets signals directly.
pub fn doorbuster(profile: Profile, subcommand: &str, args: &[String]) -> Result<()> {
    let mut all = vec![subcommand.to_owned()];
    all.extend_from_slice(args);
    replace(&profile.program("doorbuster"), &all)
}

/// Replaces this process by `doorbuster up args…`, with servers of this machine.
pub fn up(profile: Profile, args: &[String]) -> Result<()> {
    let (mut servers, mut rest) = (Vec::new(), Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if !["--local", "--queue", "--or-only", "--postgres"]
            .contains(&arg.split('=').next().unwrap_or_default())
        {
            rest.push(arg.clone());
            continue;
        }
        servers.push(arg.clone());
        if !arg.contains('=') {
            servers.push(args.next().with_context(|| format!("{arg} needs a value"))?.clone());
        }
    }
    let doorbuster = profile.program("doorbuster").to_string_lossy().into_owned();
    let all = [servers, vec![doorbuster, "up".into()], rest].concat();
    replace(&profile.program("with-servers"), &all)
}

/// Runs the program that checks the manifests.
pub fn manifests(task: &str) -> Result<()> {
    cargo(&["run", "--quiet", "--bin", "k8s-manifests", "--", task])
}

/// Replaces this process by the program.
pub fn replace(program: &Path, args: &[String]) -> Result<()> {
    let error = Command::new(program).args(args).current_dir(root()).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
