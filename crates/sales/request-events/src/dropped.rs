//! Counts the requests whose events were dropped.

use std::collections::BTreeMap;

use crate::event::Series;

/// The most combinations of a minute, a method, a route and a status. What exceeds them is added to
/// the last one.
const COUNTS_MAX: usize = 1_000;

const MINUTE_MS: u64 = 60_000;

/// The numbers of requests, by minute and series.
#[derive(Debug, Default)]
pub(crate) struct Dropped(BTreeMap<(u64, Series), u64>);

impl Dropped {
    /// Counts requests at this time.
    pub fn add(&mut self, time_ms: u64, series: Series, requests: u64) {
        let key = (time_ms / MINUTE_MS * MINUTE_MS, series);
        if self.0.len() >= COUNTS_MAX
            && !self.0.contains_key(&key)
            && let Some(mut last) = self.0.last_entry()
        {
            *last.get_mut() += requests;
            return;
        }
        *self.0.entry(key).or_default() += requests;
    }

    /// The number of all requests.
    pub fn requests(&self) -> u64 {
        self.0.values().sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the oldest count: the beginning of the minute, the series, and the number.
    pub fn take(&mut self) -> Option<(u64, Series, u64)> {
        let ((time_ms, series), requests) = self.0.pop_first()?;
        Some((time_ms, series, requests))
    }
}
