//! A naive recount of the texts that were written.

use std::collections::{BTreeMap, BTreeSet};

use super::texts::{PARTITIONS, Text};

/// The settings of the windows, in TOML. They are kept for years, because the event times are fixed.
pub const SETTINGS: &str = r#"
name = "words"
retention_s = 300000000
window = { kind = "sliding", size_s = 60, hop_s = 20 }
late = { out_of_orderness_s = 20, lateness_s = 10, policy = "reject" }
time = { pointer = "/at" }
[aggregates]
texts = { kind = "count" }
"#;
const SIZE_MS: i64 = 60_000;
const HOP_MS: i64 = 20_000;
/// A window accepts records until its end is this time before the newest event time.
const LATENESS_MS: i64 = 30_000;
/// By how much an event time may be after the timestamp of the record: the default.
const AHEAD_MAX_MS: i64 = 60_000;

/// What the function must have counted and rejected.
#[derive(Debug, Default, Clone)]
pub struct WordBooks {
    /// The windows, by their start in ms since 1970.
    pub windows: BTreeMap<i64, WordCounts>,
    /// Number of late records.
    pub late_records: u64,
    /// Number of windows that left out a record which others accepted.
    pub late_windows: u64,
    /// The ids of the rejected texts, which must have dead letters.
    pub rejected: BTreeSet<String>,
    /// The ids of texts that may have one: those that may have been written several times, because a
    /// race of two owners of a partition can write a superfluous letter for a repetition that would be
    /// late, and those whose letters may have been deleted.
    pub maybe_rejected: BTreeSet<String>,
    newest_ms: [Option<i64>; PARTITIONS as usize],
}

/// The counts of a window.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct WordCounts {
    /// Number of texts.
    pub texts: u64,
    /// Number of each word.
    pub words: BTreeMap<String, u64>,
}

impl WordBooks {
    /// Adds a text that was written to the end of a partition, in a record with this timestamp if
    /// it is not the current time.
    pub fn add(&mut self, partition: i32, text: &Text, timestamp_ms: Option<i64>) {
        let is_ahead =
            |time_ms: i64| timestamp_ms.is_some_and(|timestamp| time_ms - timestamp > AHEAD_MAX_MS);
        let Some(time_ms) = text.time_ms.filter(|time_ms| !is_ahead(*time_ms)) else {
            self.rejected.insert(text.id.clone());
            return;
        };
        let newest = &mut self.newest_ms[partition as usize];
        let watermark = newest.map_or(i64::MIN, |newest_ms| newest_ms - LATENESS_MS);
        *newest = (*newest).max(Some(time_ms));
        let mut accepted = 0;
        for start in (0..SIZE_MS / HOP_MS).map(|earlier| (time_ms / HOP_MS - earlier) * HOP_MS) {
            if start + SIZE_MS > watermark {
                accepted += 1;
                let window = self.windows.entry(start).or_default();
                window.texts += 1;
                for word in &text.words {
                    *window.words.entry((*word).to_owned()).or_default() += 1;
                }
            }
        }
        if accepted == 0 {
            self.late_records += 1;
            self.rejected.insert(text.id.clone());
        } else {
            self.late_windows += (SIZE_MS / HOP_MS) as u64 - accepted;
        }
    }

    /// The topic was created again, so its watermarks begin again.
    pub fn begin_log(&mut self) {
        self.newest_ms = Default::default();
    }
}
