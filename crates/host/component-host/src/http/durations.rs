//! The histogram of the time that requests took.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};

/// Upper bounds of the buckets in seconds. The smallest ones are for components that answer
/// without a call of another server. The bound after the default request timeout of 30 s contains
/// the requests that exceeded it.
const BOUNDS: [f64; 18] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0,
];

/// A histogram without a lock: the one of `prometheus-client` takes a lock for each value.
#[derive(Debug, Default)]
pub(super) struct Durations {
    /// Number of durations for each bound, and of those above the last one.
    counts: [AtomicU64; BOUNDS.len() + 1],
    /// The sum of all durations in nanoseconds, which is sufficient for 584 years.
    nanoseconds: AtomicU64,
}

impl Durations {
    /// Adds a duration.
    pub fn add(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Encodes the histogram. Durations that are added meanwhile may be missing in the sum.
    pub fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let seconds = self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
        let counts = self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        encoder.encode_histogram::<NoLabelSet>(seconds, counts.iter().sum(), &buckets, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_contains_it() {
        for (microseconds, bucket) in [
            (0, 0),
            (100, 0),
            (101, 1),
            (2_500, 4),
            (30_000_000, 16),
            (30_000_001, 17),
            (60_000_000, 17),
            (60_000_001, 18),
        ] {
            let durations = Durations::default();
            durations.add(Duration::from_micros(microseconds));
            let counts = durations.counts.map(AtomicU64::into_inner);
            let found = counts.iter().position(|count| *count == 1);
            assert_eq!(found, Some(bucket), "{microseconds} µs");
        }
    }

    #[test]
    fn the_bounds_increase() {
        assert!(BOUNDS.is_sorted_by(|one, next| one < next));
    }
}
