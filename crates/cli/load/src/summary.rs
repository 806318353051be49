//! The results of the load.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::connection::Answer;

/// Maximum latency that the histogram records, in microseconds: two minutes.
const LATENCY_MAX_US: u64 = 120_000_000;

/// A histogram of latencies, in microseconds.
struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "the arguments are constants within the bounds")]
        Self(Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("constant, valid bounds"))
    }
}

impl Latencies {
    fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(us.max(1));
    }

    fn merge(&mut self, other: &Self) {
        // Cannot fail, because both histograms have the same limits.
        let _ = self.0.add(&other.0);
    }

    /// Percentiles in milliseconds.
    fn percentiles_ms(&self) -> BTreeMap<&'static str, f64> {
        let ms = |us: u64| us as f64 / 1_000.0;
        let at = |quantile: f64| ms(self.0.value_at_quantile(quantile));
        BTreeMap::from([
            ("p50", at(0.5)),
            ("p90", at(0.9)),
            ("p99", at(0.99)),
            ("p99.9", at(0.999)),
            ("pmax", ms(self.0.max())),
        ])
    }
}

/// The results of one worker.
#[derive(Default)]
pub(crate) struct Tally {
    answers: BTreeMap<String, u64>,
    accepted: u64,
    latencies: Latencies,
    /// The times of answers with 429 or 503, from when the request was sent.
    refusals: Latencies,
    pub retries: u64,
    repeats: u64,
}

impl Tally {
    /// Counts an answer. `latency` is the time since the request was due, `took` the time since it
    /// was sent.
    pub fn record(&mut self, answer: &Answer, latency: Duration, took: Duration) {
        if *answer == Answer::Accepted {
            self.accepted += 1;
        } else {
            *self.answers.entry(answer.name()).or_default() += 1;
        }
        self.latencies.record(latency);
        if answer.is_refusal() {
            self.refusals.record(took);
        }
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
        self.latencies.merge(&other.latencies);
        self.refusals.merge(&other.refusals);
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
    /// Percentiles of the time in which the server answered 429 or 503, from when the request was
    /// sent, in milliseconds; empty if it did not.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refusal_ms: BTreeMap<&'static str, f64>,
}

impl Summary {
    pub(crate) fn new(tally: Tally, elapsed: Duration) -> Self {
        let requests = tally.latencies.0.len();
        let refusal_ms = match tally.refusals.0.len() {
            0 => BTreeMap::new(),
            _ => tally.refusals.percentiles_ms(),
        };
        Self {
            requests,
            accepted: tally.accepted,
            failed: tally.answers,
            retries: tally.retries,
            repeats: tally.repeats,
            elapsed_s: elapsed.as_secs_f64(),
            accepted_per_s: tally.accepted as f64 / elapsed.as_secs_f64(),
            latency_ms: tally.latencies.percentiles_ms(),
            refusal_ms,
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
        write!(f, "latency ms  {}", shown(&self.latency_ms))?;
        if !self.refusal_ms.is_empty() {
            write!(f, "\nrefusals ms {}", shown(&self.refusal_ms))?;
        }
        Ok(())
    }
}

fn shown(percentiles: &BTreeMap<&'static str, f64>) -> String {
    let all: Vec<String> = percentiles.iter().map(|(name, ms)| format!("{name} {ms:.2}")).collect();
    all.join("  ").replace("pmax", "max")
}
