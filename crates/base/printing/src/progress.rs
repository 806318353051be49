//! The progress of work that takes long.

use std::fmt;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// A known total: `███░░░ 120/1000 sales 400/s 2s`.
const OF_TOTAL: &str = "{wide_bar} {pos}/{len} {msg} {rate} {eta}";
/// An unknown total: `⠙ 120 sales 400/s 0s`.
const COUNT: &str = "{spinner} {pos} {msg} {rate} {elapsed}";
/// Work without a number: `⠙ pushing the application 3s`.
const WORK: &str = "{spinner} {msg} {elapsed}";

/// How often the line is drawn while nothing changes, so that the user sees that the program runs.
const TICK: Duration = Duration::from_millis(200);

/// A line on standard error that shows how far some work is. It is removed when this is dropped.
/// Nothing is shown if standard error is not a terminal, and nothing is ever written to standard
/// output.
pub struct Progress(ProgressBar);

impl Progress {
    /// Counts up to `total` of the things that `unit` names.
    pub fn of_total(total: u64, unit: &'static str) -> Self {
        Self::new(ProgressBar::new(total), OF_TOTAL, unit)
    }

    /// Counts things whose total is not known.
    pub fn count(unit: &'static str) -> Self {
        Self::new(ProgressBar::no_length(), COUNT, unit)
    }

    /// Shows that work is in progress.
    pub fn work(what: &'static str) -> Self {
        Self::new(ProgressBar::no_length(), WORK, what)
    }

    /// Shows nothing.
    pub fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    fn new(bar: ProgressBar, template: &str, message: &'static str) -> Self {
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.with_key("rate", write_rate));
        }
        bar.set_message(message);
        // If nothing is shown, no thread is needed to draw it.
        if !bar.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        Self(bar)
    }

    /// Adds things that were done.
    pub fn add(&self, things: u64) {
        self.0.inc(things);
    }

    /// Sets the number of things that were done.
    pub fn set(&self, things: u64) {
        self.0.set_position(things);
    }

    /// Sets the total.
    pub fn set_total(&self, total: u64) {
        self.0.set_length(total);
    }

    /// Removes the line while `print` prints something.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }

    /// Removes the line. Later changes show nothing.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// Writes the things per second without decimals.
fn write_rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    // An error cannot be returned; the line then lacks the rate.
    let _ = write!(out, "{:.0}/s", state.per_sec());
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        for template in [OF_TOTAL, COUNT, WORK] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
