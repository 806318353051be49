//! Limits how often the same problem is logged.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two lines about the same problem.
const INTERVAL: Duration = Duration::from_secs(1);

/// The most characters of a component's text in a line.
const TEXT_CHARS_MAX: usize = 1_000;

/// When a problem was logged, and how often it has occurred since then.
#[derive(Debug, Default)]
pub(crate) struct Report(Mutex<Reported>);

#[derive(Debug, Default)]
struct Reported {
    last: Option<Instant>,
    since: u64,
}

impl Report {
    /// The number of occurrences since the last line, with this one, if a line may be logged now.
    pub fn occurrences(&self) -> Option<u64> {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reported.since = reported.since.saturating_add(1);
        if reported.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            return None;
        }
        reported.last = Some(Instant::now());
        Some(std::mem::take(&mut reported.since))
    }
}

/// The beginning of a text, if it is long.
pub(crate) fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(TEXT_CHARS_MAX).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_problem_is_logged_once_a_second() {
        let report = Report::default();
        assert_eq!(report.occurrences(), Some(1));
        assert_eq!([report.occurrences(), report.occurrences()], [None, None]);
        tokio::time::advance(INTERVAL).await;
        assert_eq!([report.occurrences(), report.occurrences()], [Some(3), None]);
    }

    #[test]
    fn a_long_text_is_cut_off_between_characters() {
        assert_eq!(shortened("ñ"), "ñ");
        assert_eq!(shortened(&"ñ".repeat(2_000)), "ñ".repeat(TEXT_CHARS_MAX));
    }
}
