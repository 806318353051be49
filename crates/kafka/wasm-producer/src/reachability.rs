//! Tracks whether any broker can be reached, and the errors of the last attempts.

use std::time::Duration;

use crate::ConnectError;

/// Pause before the second attempt in a row; it doubles with every further attempt.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// Maximum pause, after which a broker that is available again is noticed.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The reachability of the brokers.
#[derive(Default)]
pub struct Reachability {
    /// Number of consecutive failures.
    failures: usize,
    /// The time of the first consecutive failure.
    since: Option<Duration>,
    /// The text of the last failure.
    last_error: String,
    /// The text of the last failure that was a refusal.
    refusal: Option<String>,
    /// If all brokers have failed and one of them refused: the time, and the text of the refusal.
    refused: Option<(Duration, String)>,
    /// Whether the number of consecutive failures has reached the number of brokers.
    pub have_all_failed: bool,
    /// Consecutive failures of attempts and batches, from which the pause is computed.
    faults: u32,
}

impl Reachability {
    /// A broker answered.
    pub fn answered(&mut self) {
        *self = Self { faults: self.faults, ..Self::default() };
    }

    /// A batch was written.
    pub fn written(&mut self) {
        self.faults = 0;
    }

    /// A failure that is followed by another attempt.
    pub fn count_failure(&mut self) {
        self.faults = self.faults.saturating_add(1);
    }

    /// A connection failed; `brokers` is the number of brokers.
    pub fn failed(&mut self, error: ConnectError, brokers: usize, now: Duration) {
        self.failures += 1;
        self.since.get_or_insert(now);
        self.last_error = error.to_string();
        if let ConnectError::Refused(text) = error {
            self.refusal = Some(text);
        }
        if self.failures >= brokers {
            // All brokers have failed once. The failures of the next attempts at all brokers are
            // counted separately.
            self.failures = 0;
            self.have_all_failed = true;
            self.refused = self.refusal.take().map(|text| (now, text));
            self.count_failure();
        }
    }

    /// The text of the last failure.
    pub fn last_error(&self) -> &str {
        &self.last_error
    }

    /// The text of the last refusal, if it was received after the call began at `entered`, and no
    /// broker has accepted the client since.
    pub fn refused(&self, entered: Duration) -> Option<&str> {
        let (at, text) = self.refused.as_ref()?;
        (*at >= entered).then_some(text)
    }

    /// Whether no broker could be reached for `limit` since the call began.
    pub fn is_unreachable(&self, entered: Duration, limit: Duration, now: Duration) -> bool {
        let since = self.since.filter(|_| self.have_all_failed);
        since.is_some_and(|since| now.saturating_sub(since.max(entered)) >= limit)
    }

    /// The pause before the next attempt.
    pub fn pause(&self) -> Duration {
        match self.faults.checked_sub(1) {
            None => Duration::ZERO,
            Some(faults) => PAUSE_MIN.saturating_mul(1 << faults.min(10)).min(PAUSE_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn down() -> ConnectError {
        ConnectError::Unreachable("down".into())
    }

    #[test]
    fn is_unreachable_only_while_no_broker_answers() {
        let mut reachability = Reachability::default();
        reachability.failed(down(), 2, at(1));
        assert!(
            !reachability.is_unreachable(at(0), LIMIT, at(9)),
            "the other broker was not tried"
        );
        reachability.failed(down(), 2, at(2));
        assert!(!reachability.is_unreachable(at(0), LIMIT, at(2)));
        assert!(reachability.is_unreachable(at(0), LIMIT, at(3)));
        assert!(
            !reachability.is_unreachable(at(2), LIMIT, at(3)),
            "the limit applies to each call separately"
        );
        reachability.answered();
        assert!(!reachability.is_unreachable(at(0), LIMIT, at(9)));
    }

    #[test]
    fn calls_that_waited_get_a_refusal() {
        let mut reachability = Reachability::default();
        reachability.failed(ConnectError::Refused("no".into()), 2, at(1));
        assert_eq!(reachability.refused(at(0)), None, "the other broker was not tried");
        reachability.failed(down(), 2, at(2));
        assert_eq!(reachability.refused(at(0)), Some("no"));
        assert_eq!(reachability.refused(at(3)), None, "a later call tries again");
    }

    #[test]
    fn pauses_grow_to_the_maximum() {
        let mut reachability = Reachability::default();
        assert_eq!(reachability.pause(), Duration::ZERO);
        reachability.count_failure();
        assert_eq!(reachability.pause(), PAUSE_MIN);
        (0..99).for_each(|_| reachability.count_failure());
        assert_eq!(reachability.pause(), PAUSE_MAX);
        reachability.written();
        assert_eq!(reachability.pause(), Duration::ZERO);
    }
}
