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
    /// The tests that failed, and passed when they were repeated.
    unstable: Failures,
    /// The number of test programs that began and have not printed their result.
    unfinished: u64,
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
    /// Repeats the failed tests with `run`, which gets their names. A test with real servers may fail
    /// because the machine is busy; one that fails twice has found a defect. Nothing is repeated if
    /// many tests failed, or if a test program crashed.
    pub fn repeat_failed(self, run: impl FnOnce(&[&str]) -> Result<Self>) -> Result<Self> {
        let names = self.failures.names();
        let all_are_known = names.len() as u64 == self.failed && self.unfinished == 0;
        if names.is_empty() || names.len() > REPEATED_MAX || !all_are_known {
            return Ok(self);
        }
        printing::result(format_args!("\nrepeating the failed tests: {}", names.join(", ")))?;
        let second = run(&names)?;
        if second.succeeded && second.passed >= self.failed {
            let passed = self.passed + self.failed;
            let (unstable, failures) = (self.failures, Failures::default());
            Ok(Self { passed, failed: 0, unstable, failures, succeeded: true, ..self })
        } else {
            Ok(self)
        }
    }

    /// Prints the numbers, and the tests that passed only when they were repeated. Fails if a test
    /// failed or none was run.
    pub fn judge(&self) -> Result<()> {
        let Self { passed, failed, skipped, .. } = self;
        if !self.unstable.lines.is_empty() {
            let lines = self.unstable.lines.join("\n");
            printing::result(format_args!("\nUnstable, passed when repeated:\n{lines}"))?;
        }
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

    /// Parses a line like `running 6 tests` or `test result: ok. 5 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        if is_start(line) {
            self.unfinished += 1;
        }
        let Some((_, result)) = line.split_once("test result: ") else {
            return;
        };
        self.unfinished = self.unfinished.saturating_sub(1);
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
        self.unfinished += other.unfinished;
        self.failures.lines.extend(other.failures.lines);
        self.unstable.lines.extend(other.unstable.lines);
    }
}

/// If more tests fail, they are not repeated, because that would take too long. Many fail at once if a
/// server that they share ends.
const REPEATED_MAX: usize = 40;

/// Whether a test program begins: `running 6 tests`.
fn is_start(line: &str) -> bool {
    let number = line
        .strip_prefix("running ")
        .and_then(|rest| rest.strip_suffix(" tests").or_else(|| rest.strip_suffix(" test")));
    number.is_some_and(|number| number.parse::<u64>().is_ok())
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
    fn names(&self) -> Vec<&str> {
        self.lines.iter().filter_map(|line| name(line)).collect()
    }

    /// Keeps what belongs to the output of a failed test: `---- NAME stdout ----`, and after it
    /// `thread 'NAME' (ID) panicked at FILE:LINE:COLUMN:`, the message and the backtrace.
    fn add(&mut self, line: &str) {
        let is_name = name(line).is_some();
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

/// The name in `---- NAME stdout ----`.
fn name(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

#[cfg(test)]
mod tests {
    use super::{Count, Failures, PANIC_LINES, REPEATED_MAX};

    /// What a test program prints in which these tests fail.
    fn count(failed: &[&str]) -> Count {
        let mut count = Count::default();
        let panics = failed.iter().map(|name| format!("---- {name} stdout ----"));
        let result = format!("test result: FAILED. 3 passed; {} failed; 0 ignored", failed.len());
        for line in ["running 9 tests".into()].into_iter().chain(panics).chain([result]) {
            count.add(&line);
            count.failures.add(&line);
        }
        count.succeeded = failed.is_empty();
        count
    }

    #[test]
    fn a_test_that_fails_twice_has_failed() {
        let again = |failed: &[&str]| {
            let second = count(failed);
            count(&["one"]).repeat_failed(|names| {
                assert_eq!(names, ["one"]);
                Ok(second)
            })
        };
        let unstable = again(&[]).unwrap();
        unstable.require_success().unwrap();
        assert_eq!((unstable.passed, unstable.unstable.names()), (4, vec!["one"]));
        assert!(again(&["one"]).unwrap().require_success().is_err());
    }

    #[test]
    fn many_failures_and_crashes_are_not_repeated() {
        let mut crashed = count(&["one"]);
        crashed.add("running 3 tests");
        for count in [crashed, count(&["name"; REPEATED_MAX + 1])] {
            let repeated = count.repeat_failed(|_| panic!("repeated")).unwrap();
            assert!(repeated.require_success().is_err());
        }
    }

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
