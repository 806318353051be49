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
    /// The failed tests with their panics.
    pub failures: Failures,
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
        count.failures.add(&line);
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

    /// Fails if a test failed, with the panics: above them are the outputs of all tests.
    pub fn require_success(&self) -> Result<()> {
        let Failures { lines, .. } = &self.failures;
        ensure!(self.failed == 0 && self.succeeded, "tests failed\n{}", lines.join("\n"));
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
        self.failures.lines.extend(other.failures.lines);
    }
}

/// The names of failed tests, and the beginnings of their panics.
#[derive(Debug, Default)]
pub struct Failures {
    lines: Vec<String>,
    /// How many more lines belong to the panic.
    rest: usize,
}

/// More lines of a panic's message are not repeated. A message may contain a whole log.
const PANIC_LINES: usize = 12;

impl Failures {
    /// Keeps what belongs to the output of a failed test: `---- NAME stdout ----`, and after it
    /// `thread 'NAME' (ID) panicked at FILE:LINE:COLUMN:`, the message and the backtrace.
    fn add(&mut self, line: &str) {
        let is_name = line.starts_with("---- ") && line.ends_with(" ----");
        if line.starts_with("thread '") && line.contains(" panicked at ") {
            self.rest = PANIC_LINES;
        } else if is_name || line == "stack backtrace:" || line.starts_with("note: run with ") {
            self.rest = 0;
        }
        if is_name || self.rest > 0 {
            self.lines.push(line.to_owned());
            self.rest = self.rest.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Failures, PANIC_LINES};

    #[test]
    fn the_panics_of_failed_tests_are_kept() {
        let long: String = (0..2 * PANIC_LINES).map(|line| format!("log {line}\n")).collect();
        let output = format!(
            "test one ... ok\ntest two ... FAILED\n\nfailures:\n\n---- two stdout ----\nprinted\n\n\
             thread 'two' (7) panicked at a.rs:1:2:\nnot equal\nstack backtrace:\n   0: frame\n\n\
             ---- three stdout ----\n\nthread 'three' (8) panicked at b.rs:3:4:\n{long}"
        );
        let mut failures = Failures::default();
        output.lines().for_each(|line| failures.add(line));
        let (two, three) = failures.lines.split_at(3);
        assert_eq!(
            two,
            ["---- two stdout ----", "thread 'two' (7) panicked at a.rs:1:2:", "not equal"]
        );
        assert_eq!(three[0], "---- three stdout ----");
        assert_eq!(three.len(), 1 + PANIC_LINES);
    }
}
