//! The results of the load.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::connection::Answer;

/// Maximum latency that the histogram records, in microseconds: two minutes.
const LATENCY_MAX_US: u64 = 120_000_000;

/// The results of one worker.
pub(crate) struct Tally {
    answers: BTreeMap<String, u64>,
    accepted: u64,
    latencies_us: Histogram<u64>,
    pub retries: u64,
    repeats: u64,
}

impl Default for Tally {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "the arguments are constants within the bounds")]
        let latencies_us =
            Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("constant, valid bounds");
        Self { answers: BTreeMap::new(), accepted: 0, latencies_us, retries: 0, repeats: 0 }
    }
}

impl Tally {
    pub fn record(&mut self, answer: &Answer, latency: Duration) {
        if *answer == Answer::Accepted {
            self.accepted += 1;
        } else {
            *self.answers.entry(answer.name()).or_default() += 1;
        }
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latencies_us.saturating_record(us.max(1));
    }

    /// Counts a request that was repeated although it was accepted.
    pub fn repeated(&mut self, answer: &Answer) {
        self.repeats += 1;
        if *answer != Answer::Accepted {
            *self.answers.entry(format!("repeated, {}", answer.name())).or_default() += 1;
        }
    }

    pub fn merge(&mut self, other: &Self) {
        for (name, count) in &other.answers {
            *self.answers.entry(name.clone()).or_default() += count;
        }
        self.accepted += other.accepted;
        self.retries += other.retries;
        self.repeats += other.repeats;
        // Cannot fail, because both histograms have the same limits.
        let _ = self.latencies_us.add(&other.latencies_us);
    }
}

/// The results of a load.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Number of requests; retries are not counted.
    pub requests: u64,
    /// Number of requests answered with 200 and the expected body.
    pub accepted: u64,
    /// Number of the other requests, by status or error.
    pub failed: BTreeMap<String, u64>,
    /// Number of retries.
    pub retries: u64,
    /// Number of requests that were repeated although they were accepted.
    pub repeats: u64,
    /// Duration of the load, in seconds.
    pub elapsed_s: f64,
    /// Accepted requests per second.
    pub accepted_per_s: f64,
    /// Latency percentiles of all requests, in milliseconds.
    pub latency_ms: BTreeMap<&'static str, f64>,
}

impl Summary {
    pub(crate) fn new(tally: Tally, elapsed: Duration) -> Self {
        let ms = |us: u64| us as f64 / 1_000.0;
        let at = |quantile: f64| ms(tally.latencies_us.value_at_quantile(quantile));
        let latency_ms = BTreeMap::from([
            ("p50", at(0.5)),
            ("p90", at(0.9)),
            ("p99", at(0.99)),
            ("p99.9", at(0.999)),
            ("pmax", ms(tally.latencies_us.max())),
        ]);
        Self {
            requests: tally.latencies_us.len(),
            accepted: tally.accepted,
            failed: tally.answers,
            retries: tally.retries,
            repeats: tally.repeats,
            elapsed_s: elapsed.as_secs_f64(),
            accepted_per_s: tally.accepted as f64 / elapsed.as_secs_f64(),
            latency_ms,
        }
    }

    /// Whether all requests, including repetitions, were accepted.
    pub fn all_accepted(&self) -> bool {
        self.accepted == self.requests && self.failed.is_empty()
    }
}

/// Prints one figure per line.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "requests    {}", self.requests)?;
        writeln!(f, "accepted    {}", self.accepted)?;
        for (name, count) in &self.failed {
            writeln!(f, "  {name}: {count}")?;
        }
        for (name, count) in [("retries", self.retries), ("repeats", self.repeats)] {
            if count > 0 {
                writeln!(f, "{name}     {count}")?;
            }
        }
        writeln!(f, "accepted/s  {:.0}  ({:.2} s)", self.accepted_per_s, self.elapsed_s)?;
        let latencies: Vec<String> =
            self.latency_ms.iter().map(|(name, ms)| format!("{name} {ms:.2}")).collect();
        write!(f, "latency ms  {}", latencies.join("  ").replace("pmax", "max"))
    }
}
