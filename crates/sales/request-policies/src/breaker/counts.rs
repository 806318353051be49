//! What is counted of the requests of a time.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use hdrhistogram::Histogram;

/// The parts of a window that are forgotten one after the other.
const PARTS: u32 = 10;

/// The longest latency that is distinguished, in milliseconds.
const LATENCY_MS_MAX: u64 = 60_000;

/// The precision of latencies: two digits.
const DIGITS: u8 = 2;

/// A request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// The status of the response. Without one it is 504 after the time limit, and 502 otherwise:
    /// those of a gateway, which count as network errors.
    pub status: u16,
    /// The time until the head of the response, or until it was clear that there is none.
    pub latency: Duration,
}

impl Sample {
    pub(super) fn is_network_error(&self) -> bool {
        matches!(self.status, 502 | 504)
    }
}

/// The counts of several requests.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub(super) total: u64,
    network_errors: u64,
    statuses: BTreeMap<u16, u64>,
    /// `None` without any request.
    latencies: Option<Histogram<u32>>,
}

impl Counts {
    pub(super) fn add(&mut self, sample: &Sample) {
        self.total += 1;
        self.network_errors += u64::from(sample.is_network_error());
        *self.statuses.entry(sample.status).or_default() += 1;
        if self.latencies.is_none() {
            // The limits are valid, so there is a histogram.
            self.latencies = Histogram::new_with_bounds(1, LATENCY_MS_MAX, DIGITS).ok();
        }
        if let Some(latencies) = &mut self.latencies {
            let ms = u64::try_from(sample.latency.as_millis()).unwrap_or(LATENCY_MS_MAX);
            latencies.saturating_record(ms.clamp(1, LATENCY_MS_MAX));
        }
    }

    fn merge(&mut self, other: &Self) {
        self.total += other.total;
        self.network_errors += other.network_errors;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        match (&mut self.latencies, &other.latencies) {
            // It cannot fail: both have the same limits.
            (Some(own), Some(other)) => drop(own.add(other)),
            (None, other) => self.latencies.clone_from(other),
            (Some(_), None) => {}
        }
    }

    /// The part of the requests that ended with a network error.
    pub(super) fn network_error_ratio(&self) -> f64 {
        ratio(self.network_errors, self.total)
    }

    /// The responses with statuses in a range, divided by those in another one.
    pub(super) fn status_ratio(&self, range: &Range<u16>, divisor: &Range<u16>) -> f64 {
        let count = |range: &Range<u16>| {
            let statuses = self.statuses.iter().filter(|(status, _)| range.contains(status));
            statuses.map(|(_, count)| *count).sum()
        };
        ratio(count(range), count(divisor))
    }

    /// The latency in milliseconds that this part of the requests, in percent, does not exceed.
    pub(super) fn latency_ms(&self, percent: f64) -> f64 {
        let latencies = self.latencies.as_ref();
        latencies.map_or(0.0, |own| own.value_at_quantile(percent / 100.0) as f64)
    }
}

fn ratio(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

/// The counts of the last requests, in parts of equal time.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The parts with requests, by the number of the part since the start of the clock.
    parts: VecDeque<(u128, Counts)>,
}

impl Window {
    pub fn add(&mut self, length: Duration, sample: &Sample, now: Duration) {
        let number = part(length, now);
        self.forget(number);
        match self.parts.back_mut() {
            Some((last, counts)) if *last == number => counts.add(sample),
            _ => {
                let mut counts = Counts::default();
                counts.add(sample);
                self.parts.push_back((number, counts));
            }
        }
    }

    pub fn counts(&mut self, length: Duration, now: Duration) -> Counts {
        self.forget(part(length, now));
        let mut all = Counts::default();
        for (_, counts) in &self.parts {
            all.merge(counts);
        }
        all
    }

    fn forget(&mut self, number: u128) {
        let is_old = |first: &(u128, Counts)| first.0 + u128::from(PARTS) <= number;
        while self.parts.front().is_some_and(is_old) {
            self.parts.pop_front();
        }
    }
}

fn part(length: Duration, now: Duration) -> u128 {
    now.as_nanos() / (length / PARTS).as_nanos().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(status: u16, ms: u64) -> Sample {
        Sample { status, latency: Duration::from_millis(ms) }
    }

    #[test]
    fn ratios_and_latencies() {
        let mut counts = Counts::default();
        assert_eq!((counts.network_error_ratio(), counts.latency_ms(50.0)), (0.0, 0.0));
        for ms in 1..=100 {
            counts.add(&sample(if ms <= 20 { 500 } else { 200 }, ms));
        }
        counts.add(&sample(504, 1_000_000));
        counts.add(&sample(502, 1));
        assert!((counts.network_error_ratio() - 2.0 / 102.0).abs() < 1e-9);
        assert!((counts.status_ratio(&(500..600), &(0..600)) - 22.0 / 102.0).abs() < 1e-9);
        assert!((counts.status_ratio(&(500..600), &(300..400))).abs() < 1e-9);
        assert!((49.0..=52.0).contains(&counts.latency_ms(50.0)), "{}", counts.latency_ms(50.0));
        assert!(counts.latency_ms(100.0) >= 60_000.0);
    }

    #[test]
    fn old_requests_are_forgotten() {
        let (mut window, length) = (Window::default(), Duration::from_secs(10));
        let at = Duration::from_secs;
        for second in 0..100 {
            window.add(length, &sample(200, 1), at(second));
            window.add(length, &sample(502, 1), at(second));
            assert!(window.parts.len() <= 10);
        }
        assert_eq!(window.counts(length, at(99)).total, 20);
        assert_eq!(window.counts(length, at(104)).total, 10);
        assert_eq!(window.counts(length, at(109)).total, 0);
        assert!(window.parts.is_empty());
    }
}
