//! Runs the tests: pure crates first, the real servers last.

use anyhow::Result;

use crate::run::cargo;
use crate::{build, count, image, plugin, shim};

/// Builds what the tests run, then runs them and counts; `args` go to the test programs.
pub fn all(args: &[String]) -> Result<()> {
    build::all(true)?;
    plugin::pack(&[])?;
    let mut command = vec!["test", "--release", "--no-fail-fast"];
    command.extend(["--lib", "--bins", "--tests", "--"]);
    command.extend(args.iter().map(String::as_str));
    count::cargo_test(&command, &[])?.judge()
}

/// Runs the shim's tests, and those of shim and image with a real containerd; `args` go to them.
pub fn containers(args: &[String]) -> Result<()> {
    image::build(&["--app".into()])?;
    shim::pack()?;
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    shim::test(&["--test", "containers"], &args)?.judge()
}

/// Format, lints, licences and advisories.
pub fn lint() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--release", "--all-targets", "--", "--deny", "warnings"])?;
    cargo(&["clippy", "--release", "--test", "containers", "--", "--deny", "warnings"])?;
    shim::lint()?;
    build::lint_components()?;
    cargo(&["deny", "check"])
}
