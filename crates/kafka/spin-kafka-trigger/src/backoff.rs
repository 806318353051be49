//! Growing pauses between attempts.

use std::time::Duration;

/// An exponential backoff with jitter: pause `n` lies between 50% and 100% of `first * 2^n`, which
/// is limited to `max`. The number of pauses is not limited.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    attempts: u32,
}

impl Backoff {
    /// Pauses from `first` on, up to `max`.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, attempts: 0 }
    }

    /// How many pauses were taken.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The next pause.
    pub fn next_pause(&mut self) -> Duration {
        let pause = jittered(self.ceiling(), fastrand::f64());
        self.attempts = self.attempts.saturating_add(1);
        pause
    }

    fn ceiling(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.max)
    }
}

/// Between half and all of `ceiling`. The random half keeps partitions that failed at the same time
/// from retrying at the same time. `chance` is in 0..1.
fn jittered(ceiling: Duration, chance: f64) -> Duration {
    let half = ceiling / 2;
    half + half.mul_f64(chance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn doubles_up_to_the_maximum() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        let mut ceilings = Vec::new();
        for _ in 0..9 {
            ceilings.push(backoff.ceiling().as_millis());
            backoff.next_pause();
        }
        assert_eq!(ceilings, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
    }

    proptest! {
        #[test]
        fn a_pause_is_between_half_and_all_of_its_ceiling(
            first in 1_u64..10_000, max in 1_u64..100_000, attempts in 0_u32..100,
        ) {
            let (first, max) = (Duration::from_millis(first), Duration::from_millis(max));
            let mut backoff = Backoff { first, max, attempts };
            let ceiling = backoff.ceiling();
            let pause = backoff.next_pause();
            prop_assert!(ceiling <= max);
            prop_assert!(pause >= ceiling / 2 && pause <= ceiling);
        }
    }
}
