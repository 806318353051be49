//! Sums up the results that `cargo test` prints for each test program.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::ops::AddAssign;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::run::{cargo_command, root};

/// The number of tests by result.
#[derive(Debug, Default)]
pub struct Count {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
    /// Whether cargo itself succeeded. A test program that crashes prints no result.
    pub succeeded: bool,
}

/// Runs `cargo args…` with these environment variables, prints its output and counts the results.
pub fn cargo_test(args: &[impl AsRef<OsStr>], variables: &[(&str, String)]) -> Result<Count> {
    let mut child = cargo_command()
        .args(args)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .current_dir(root())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let mut count = Count::default();
    let output = child.stdout.take().context("cargo has no output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        printing::result(&line)?;
        count.add(&line);
    }
    count.succeeded = child.wait()?.success();
    Ok(count)
}

impl Count {
    /// Prints the numbers. Fails if a test failed or none was run.
    pub fn judge(&self) -> Result<()> {
        let Self { passed, failed, skipped, .. } = self;
        printing::result(format_args!("\n{passed} passed, {failed} failed, {skipped} skipped"))?;
        self.require_success()?;
        ensure!(self.passed > 0, "no test ran");
        Ok(())
    }

    /// Fails if a test failed.
    pub fn require_success(&self) -> Result<()> {
        ensure!(self.failed == 0 && self.succeeded, "tests failed");
        Ok(())
    }

    /// Parses a line like `test result: ok. 5 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some((_, result)) = line.split_once("test result: ") else {
            return;
        };
        let number = |word: &str| -> u64 {
            let words: Vec<&str> = result.split([' ', ';']).filter(|w| !w.is_empty()).collect();
            let found = words.windows(2).find(|pair| pair.last() == Some(&word));
            found.and_then(|pair| pair.first()?.parse().ok()).unwrap_or(0)
        };
        self.passed += number("passed");
        self.failed += number("failed");
        self.skipped += number("ignored");
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.succeeded &= other.succeeded;
    }
}
