//! Runs the tests: pure crates first, the real servers last.

use anyhow::Result;

use crate::build;
use crate::run::cargo;

/// Crates with tests of their own, cheap to dear. The last runs the built pipeline.
const TESTED: [&str; 10] = [
    "sale",
    "intake",
    "product-sale",
    "aggregate",
    "ledger",
    "local-servers",
    "kafka-producer",
    "spin-kafka-trigger",
    "component-host",
    "pipeline-tests",
];

/// Builds what the tests run, then runs them; `args` go to the test programs.
pub fn all(args: &[String]) -> Result<()> {
    build::all()?;
    let mut command = vec!["test", "--release"];
    command.extend(TESTED.iter().flat_map(|package| ["--package", package]));
    command.push("--");
    command.extend(args.iter().map(String::as_str));
    cargo(&command)
}

/// Format, lints, licences and advisories.
pub fn lint() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--release", "--all-targets", "--", "--deny", "warnings"])?;
    cargo(&["deny", "check"])
}
