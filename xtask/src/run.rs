//! Runs programs from the project's root and stops at the first that fails.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Into::into).unwrap_or_default()
}

/// A program that the release build makes.
pub fn release(name: &str) -> PathBuf {
    root().join("target/release").join(name)
}

/// Runs `program args…` in the root, its output shown.
pub fn run(program: &str, args: &[&str]) -> Result<()> {
    run_with(program, args, &[])
}

/// The same with these variables in its environment.
fn run_with(program: &str, args: &[&str], variables: &[(&str, String)]) -> Result<()> {
    eprintln!("$ {program} {}", args.join(" "));
    let status = Command::new(program)
        .args(args)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .current_dir(root())
        .status()
        .with_context(|| format!("cannot run {program}; is it installed?"))?;
    ensure!(status.success(), "`{program} {}` failed: {status}", args.join(" "));
    Ok(())
}

/// Runs `cargo args…`: the one on the PATH, as everybody else calls it, because builds made
/// through another path to the same compiler are not reused.
pub fn cargo(args: &[&str]) -> Result<()> {
    run("cargo", args)
}

/// The same with these variables in its environment.
pub fn cargo_with(args: &[String], variables: &[(&str, String)]) -> Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run_with("cargo", &args, variables)
}

/// Becomes `doorbuster <subcommand> args…`, so that signals go straight to it.
pub fn doorbuster(subcommand: &str, args: &[String]) -> Result<()> {
    let mut all = vec![subcommand.to_owned()];
    all.extend_from_slice(args);
    replace(&release("doorbuster"), &all)
}

/// Runs the program for the manifests. Built on its own, as this one is: it needs nothing else.
pub fn manifests(task: &str) -> Result<()> {
    cargo(&["run", "--quiet", "--package", "manifests", "--", task])
}

/// Becomes the program.
pub fn replace(program: &Path, args: &[String]) -> Result<()> {
    let error = Command::new(program).args(args).current_dir(root()).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
