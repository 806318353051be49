//! Problems that are logged together, at most once in an interval.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The time between two lines about the same problem.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// The most characters of a text of a component or a server in a line.
const TEXT_CHARS_MAX: usize = 1_000;

/// How often a problem has occurred since the last line, and the details of the last occurrence.
#[derive(Debug)]
pub(crate) struct Report<T>(Mutex<Option<(u64, T)>>);

impl<T> Default for Report<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Report<T> {
    /// Adds an occurrence.
    pub fn add(&self, details: T) {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = reported.take().map_or(0, |(count, _)| count);
        *reported = Some((before.saturating_add(1), details));
    }

    /// What is to be logged. The next line begins with 0.
    pub fn take(&self) -> Option<(u64, T)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
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

    #[test]
    fn each_occurrence_is_in_one_line() {
        let report = Report::default();
        assert_eq!(report.take(), None);
        ["a", "b", "c"].into_iter().for_each(|details| report.add(details));
        assert_eq!(report.take(), Some((3, "c")));
        report.add("d");
        assert_eq!([report.take(), report.take()], [Some((1, "d")), None]);
    }

    #[test]
    fn a_long_text_is_cut_off_between_characters() {
        assert_eq!(shortened("ñ"), "ñ");
        assert_eq!(shortened(&"ñ".repeat(2_000)), "ñ".repeat(TEXT_CHARS_MAX));
    }
}
