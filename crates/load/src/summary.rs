//! What became of the load.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::connection::Answer;

/// Longest latency that is told apart, in microseconds: two minutes.
const LATENCY_MAX_US: u64 = 120_000_000;

/// One worker's count.
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

    /// A request was sent once more although it had been accepted.
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
        // Both have the same bounds.
        let _ = self.latencies_us.add(&other.latencies_us);
    }
}

/// What became of a load.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Requests that were sent, each counted once however often it was tried.
    pub requests: u64,
    /// Requests answered with 200 and the contract's body.
    pub accepted: u64,
    /// The others, by status or fault.
    pub failed: BTreeMap<String, u64>,
    /// Tries beyond the first.
    pub retries: u64,
    /// Requests that were sent once more although they had been accepted.
    pub repeats: u64,
    /// Time the load took, in seconds.
    pub elapsed_s: f64,
    /// Accepted requests a second.
    pub accepted_per_s: f64,
    /// Latency percentiles in milliseconds, of all requests.
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

    /// Whether there was no failure at all.
    pub fn all_accepted(&self) -> bool {
        self.accepted == self.requests && self.failed.is_empty()
    }
}

/// The figures, one a line.
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
