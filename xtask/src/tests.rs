//! Runs the tests: pure crates first, the real servers last.

use anyhow::{Result, ensure};

use crate::run::cargo;
use crate::{build, count};

/// Crates with tests of their own, cheap to dear. The last runs the built pipeline.
const TESTED: [&str; 13] = [
    "sale",
    "intake",
    "product-sale",
    "valkey-codec",
    "aggregate",
    "ledger",
    "load",
    "component-host",
    "doorbuster",
    "local-servers",
    "kafka-producer",
    "spin-kafka-trigger",
    "pipeline-tests",
];

/// Builds what the tests run, then runs them and counts; `args` go to the test programs.
pub fn all(args: &[String]) -> Result<()> {
    let packages: Vec<&str> = TESTED.iter().flat_map(|package| ["--package", package]).collect();
    build::with_program(&[&["--bins", "--tests"], packages.as_slice()].concat())?;
    let mut command = vec!["test", "--release", "--no-fail-fast"];
    command.extend(packages);
    command.push("--");
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
    cargo(&["deny", "check"])
}
