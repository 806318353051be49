//! Runs the tests: pure crates first, the real servers last.

use anyhow::{Result, ensure};

use crate::run::cargo;
use crate::{build, count, plugin};

/// Builds what the tests run, then runs them and counts; `args` go to the test programs.
pub fn all(args: &[String]) -> Result<()> {
    build::all(true)?;
    plugin::pack(&[])?;
    let mut command = vec!["test", "--release", "--no-fail-fast"];
    command.extend(["--lib", "--bins", "--tests", "--"]);
    command.extend(args.iter().map(String::as_str));
    let count = count::cargo_test(&command)?;
    println!("\n{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped);
    ensure!(count.failed == 0 && count.succeeded, "tests failed");
    ensure!(count.passed > 0, "no test ran");
    Ok(())
}

/// Format, lints, licences and advisories.
pub fn lint() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--release", "--all-targets", "--", "--deny", "warnings"])?;
    build::lint_components()?;
    cargo(&["deny", "check"])
}
