//! The times of the calls for a batch.

use std::time::Duration;

/// When the last call for a batch may begin, and how long a call may take. A batch within these
/// limits ends in five sixths of its time limit, so a slow server leads to a retry. A batch that the
/// trigger interrupts at its time limit would be treated as poison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// No call begins later than this after the batch.
    pub begin_within: Duration,
    /// Maximum time of a call.
    pub call: Duration,
}

const BEGIN_WITHIN_MAX: Duration = Duration::from_secs(20);
const CALL_MAX: Duration = Duration::from_secs(30);

impl TimeLimits {
    /// The limits for a batch with this time limit.
    pub fn of_batch(time_limit: Duration) -> Self {
        Self {
            begin_within: BEGIN_WITHIN_MAX.min(time_limit / 3),
            call: CALL_MAX.min(time_limit / 2),
        }
    }

    /// The maximum time in milliseconds of a call that begins this long after the batch; `None` if
    /// it begins too late.
    pub fn call_ms(&self, elapsed: Duration) -> Option<u32> {
        if elapsed >= self.begin_within {
            return None;
        }
        self.call.as_millis().try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_ends_before_its_time_limit() {
        for limit_ms in [10, 1_500, 10_000, 60_000, 600_000] {
            let time_limit = Duration::from_millis(limit_ms);
            let limits = TimeLimits::of_batch(time_limit);
            assert!(limits.begin_within + limits.call < time_limit, "{limits:?}");
            let just_before = limits.begin_within - Duration::from_nanos(1);
            assert_eq!(limits.call_ms(just_before), Some((limit_ms / 2).min(30_000) as u32));
            assert_eq!(limits.call_ms(limits.begin_within), None);
        }
    }
}
