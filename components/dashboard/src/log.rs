//! The log of the component: standard error.

use std::cell::Cell;

use guest_tasks::now_ms;

/// The shortest time between two lines about the same thing.
const INTERVAL_MS: u64 = 60_000;

/// When the last line about something was written; `None` if never.
pub struct Log(Cell<Option<u64>>);

impl Log {
    /// Nothing has been written yet.
    pub const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// Writes a line, at most once in `INTERVAL_MS`.
    pub fn note(&self, text: impl std::fmt::Display) {
        let now = now_ms();
        if self.0.get().is_none_or(|last| now.saturating_sub(last) >= INTERVAL_MS) {
            self.0.set(Some(now));
            printing::note(text);
        }
    }
}
