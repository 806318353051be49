//! Tracks whether any broker can be reached, and the errors of the last attempts.

use std::time::Duration;

use crate::ConnectError;

/// Pause before the second attempt in a row; it doubles with every further attempt.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// Maximum pause, after which a broker that is available again is noticed.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The reachability of the brokers.
#[derive(Default)]
pub struct Reach {
    /// Number of consecutive failures.
    failures: usize,
    /// The time of the first of them.
    since: Option<Duration>,
    /// The text of the last of them.
    said: String,
    /// The text of the last of them that was a refusal.
    refusal: Option<String>,
    /// If all brokers have failed and one of them refused: the time, and the text of the refusal.
    refused: Option<(Duration, String)>,
    /// Whether there were as many consecutive failures as there are brokers.
    pub is_lost: bool,
    /// Consecutive failures of attempts and batches, from which the pause is computed.
    faults: u32,
}

impl Reach {
    /// A broker answered.
    pub fn answered(&mut self) {
        *self = Self { faults: self.faults, ..Self::default() };
    }

    /// A batch was written.
    pub fn written(&mut self) {
        self.faults = 0;
    }

    /// A failure that is followed by another attempt.
    pub fn fault(&mut self) {
        self.faults = self.faults.saturating_add(1);
    }

    /// A connection failed; `brokers` is the number of brokers.
    pub fn failed(&mut self, error: ConnectError, brokers: usize, now: Duration) {
        self.failures += 1;
        self.since.get_or_insert(now);
        self.said = error.to_string();
        if let ConnectError::Refused(text) = error {
            self.refusal = Some(text);
        }
        if self.failures >= brokers {
            // All brokers have failed once: counts the next pass over them separately.
            self.failures = 0;
            self.is_lost = true;
            self.refused = self.refusal.take().map(|text| (now, text));
            self.fault();
        }
    }

    /// The text of the last failure.
    pub fn said(&self) -> &str {
        &self.said
    }

    /// The text of a refusal that a call that began at `entered` has seen, if no broker has
    /// accepted the client since.
    pub fn refused(&self, entered: Duration) -> Option<&str> {
        let (at, text) = self.refused.as_ref()?;
        (*at >= entered).then_some(text)
    }

    /// Whether no broker could be reached for `patience` since the call began.
    pub fn given_up(&self, entered: Duration, patience: Duration, now: Duration) -> bool {
        let since = self.since.filter(|_| self.is_lost);
        since.is_some_and(|since| now.saturating_sub(since.max(entered)) >= patience)
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

    const PATIENCE: Duration = Duration::from_secs(2);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn down() -> ConnectError {
        ConnectError::Unreachable("down".into())
    }

    #[test]
    fn gives_up_only_while_no_broker_answers() {
        let mut reach = Reach::default();
        reach.failed(down(), 2, at(1));
        assert!(!reach.given_up(at(0), PATIENCE, at(9)), "the other was not asked");
        reach.failed(down(), 2, at(2));
        assert!(!reach.given_up(at(0), PATIENCE, at(2)));
        assert!(reach.given_up(at(0), PATIENCE, at(3)));
        assert!(!reach.given_up(at(2), PATIENCE, at(3)), "every call gets its own patience");
        reach.answered();
        assert!(!reach.given_up(at(0), PATIENCE, at(9)));
    }

    #[test]
    fn a_refusal_is_told_to_those_who_waited() {
        let mut reach = Reach::default();
        reach.failed(ConnectError::Refused("no".into()), 2, at(1));
        assert_eq!(reach.refused(at(0)), None, "the other was not asked");
        reach.failed(down(), 2, at(2));
        assert_eq!(reach.refused(at(0)), Some("no"));
        assert_eq!(reach.refused(at(3)), None, "whoever comes later asks again");
    }

    #[test]
    fn pauses_grow_to_their_bound() {
        let mut reach = Reach::default();
        assert_eq!(reach.pause(), Duration::ZERO);
        reach.fault();
        assert_eq!(reach.pause(), PAUSE_MIN);
        (0..99).for_each(|_| reach.fault());
        assert_eq!(reach.pause(), PAUSE_MAX);
        reach.written();
        assert_eq!(reach.pause(), Duration::ZERO);
    }
}
