//! The latest values of a source, and the rates of the counters in them.

use std::collections::VecDeque;
use std::time::Instant;

use crate::latency::Latency;

/// Number of values that are kept. They are read once a second, so rates are means of 3 s.
const VALUES_MAX: usize = 4;

/// The latest values, oldest first.
#[derive(Debug)]
pub struct Window<T>(VecDeque<(Instant, T)>);

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Window<T> {
    /// Adds a value that was read at this time.
    pub fn push(&mut self, at: Instant, value: T) {
        if self.0.len() == VALUES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((at, value));
    }

    /// The latest value.
    pub fn latest(&self) -> Option<&T> {
        self.0.back().map(|(_, value)| value)
    }

    /// Forgets all values but the latest, so that no rate covers a time in which nothing was read.
    pub fn forget_earlier(&mut self) {
        self.0.drain(..self.0.len().saturating_sub(1));
    }

    /// The growth of a counter per second; `None` before there are two values. A counter that falls
    /// has begun again at zero.
    pub fn rate(&self, counter: impl Fn(&T) -> f64) -> Option<f64> {
        let ((first, _), (last, _)) = (self.0.front()?, self.0.back()?);
        let seconds = last.duration_since(*first).as_secs_f64();
        let growth = |(before, now): (&T, &T)| {
            let (before, now) = (counter(before), counter(now));
            if now < before { now } else { now - before }
        };
        (seconds > 0.0).then(|| self.pairs().map(growth).sum::<f64>() / seconds)
    }

    /// The growth of a histogram over all values.
    pub fn growth(&self, histogram: impl Fn(&T) -> Option<&Latency>) -> Latency {
        let (mut growth, none) = (Latency::default(), Latency::default());
        for (before, now) in self.pairs() {
            if let Some(now) = histogram(now) {
                growth.merge(&now.since(histogram(before).unwrap_or(&none)));
            }
        }
        growth
    }

    /// Each value with the next one.
    fn pairs(&self) -> impl Iterator<Item = (&T, &T)> {
        let values = self.0.iter().map(|(_, value)| value);
        values.clone().zip(values.skip(1))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn window(values: &[(u64, f64)]) -> Window<f64> {
        let begin = Instant::now();
        let mut window = Window::default();
        for (seconds, value) in values {
            window.push(begin + Duration::from_secs(*seconds), *value);
        }
        window
    }

    fn rate(values: &[(u64, f64)]) -> Option<f64> {
        window(values).rate(|value| *value)
    }

    #[test]
    fn a_rate_is_the_growth_per_second() {
        assert_eq!(rate(&[]), None);
        assert_eq!(rate(&[(0, 5.0)]), None);
        assert_eq!(rate(&[(0, 5.0), (0, 6.0)]), None, "no time has passed");
        assert_eq!(rate(&[(0, 5.0), (2, 5.0)]), Some(0.0));
        assert_eq!(rate(&[(0, 5.0), (2, 15.0)]), Some(5.0));
        assert_eq!(rate(&[(0, 0.0), (1, 9.0), (2, 9.0), (3, 9.0), (4, 12.0)]), Some(1.0));
    }

    #[test]
    fn a_counter_that_falls_has_begun_again() {
        assert_eq!(rate(&[(0, 100.0), (1, 110.0), (2, 6.0)]), Some(8.0));
    }

    #[test]
    fn no_rate_covers_a_gap() {
        let mut window = window(&[(0, 1.0), (1, 2.0)]);
        window.forget_earlier();
        assert_eq!((window.latest(), window.rate(|value| *value)), (Some(&2.0), None));
        Window::<f64>::default().forget_earlier();
    }
}
