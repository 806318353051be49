//! A circuit breaker: after repeated failures it refuses calls and only lets single probes through.

/// Number of consecutive failures that opens the circuit.
const FAILURES_MAX: u32 = 20;

/// Time for which an open circuit refuses calls before it lets one probe through, in milliseconds.
const PAUSE_MS: u64 = 1_000;

// A client that waits for `Retry-After` finds a circuit that lets a call through.
const _: () = assert!(crate::RETRY_AFTER_SECONDS as u64 * 1_000 >= PAUSE_MS);

/// The state of one circuit. The caller passes the time, in milliseconds of any monotonic clock.
///
/// It is part of a component's instance, so each instance opens and closes its own circuit.
#[derive(Debug, Default)]
pub struct CircuitBreaker {
    failures: u32,
    /// When the circuit opened or last let a probe through; None while it is closed.
    refused_since_ms: Option<u64>,
}

impl CircuitBreaker {
    /// Whether a call may be made now. An open circuit lets one call through after each pause.
    /// `now_ms` is called only if the circuit is open.
    pub fn allow(&mut self, now_ms: impl FnOnce() -> u64) -> bool {
        let Some(since) = &mut self.refused_since_ms else {
            return true;
        };
        let now_ms = now_ms();
        let may_probe = now_ms.saturating_sub(*since) >= PAUSE_MS;
        if may_probe {
            // This call is the probe; the next one waits for another pause.
            *since = now_ms;
        }
        may_probe
    }

    /// Records that the next hop answered, or rejected the call because of its content. Closes the
    /// circuit.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Records that a call was not answered.
    ///
    /// Calls that were in flight when the circuit opened fail one after the other; they do not
    /// extend the pause.
    pub fn failed(&mut self, now_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES_MAX {
            self.refused_since_ms.get_or_insert(now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open_at(now_ms: u64) -> CircuitBreaker {
        let mut breaker = CircuitBreaker::default();
        for _ in 0..FAILURES_MAX {
            assert!(breaker.allow(|| now_ms));
            breaker.failed(now_ms);
        }
        breaker
    }

    #[test]
    fn opens_probes_and_closes() {
        let mut breaker = open_at(0);
        assert!(!breaker.allow(|| PAUSE_MS - 1));
        assert!(breaker.allow(|| PAUSE_MS), "one probe");
        assert!(!breaker.allow(|| PAUSE_MS), "and no second");
        breaker.failed(PAUSE_MS);
        assert!(!breaker.allow(|| 2 * PAUSE_MS - 1));
        assert!(breaker.allow(|| 2 * PAUSE_MS));
        breaker.succeeded();
        assert!(breaker.allow(|| 2 * PAUSE_MS) && breaker.allow(|| 2 * PAUSE_MS));
    }

    /// What happens to a circuit: time passes and a call starts if it is allowed to, or a call in
    /// flight ends.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        Start,
        Answered,
        Unanswered,
    }

    fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
        let event = prop_oneof![
            8 => Just(Event::Start),
            1 => Just(Event::Answered),
            8 => Just(Event::Unanswered),
        ];
        prop::collection::vec((0u64..300, event), 0..300)
    }

    proptest! {
        #[test]
        fn never_refuses_for_longer_than_a_pause(events in events()) {
            let (mut breaker, mut now, mut under_way) = (CircuitBreaker::default(), 0, 0u32);
            let mut refused_since = None;
            for (step, event) in events {
                now += step;
                match event {
                    Event::Start if breaker.allow(|| now) => {
                        under_way += 1;
                        refused_since = None;
                    }
                    Event::Start => {
                        let since = *refused_since.get_or_insert(now);
                        prop_assert!(now - since < PAUSE_MS);
                    }
                    Event::Answered if under_way > 0 => {
                        under_way -= 1;
                        refused_since = None;
                        breaker.succeeded();
                    }
                    Event::Unanswered if under_way > 0 => {
                        under_way -= 1;
                        breaker.failed(now);
                    }
                    Event::Answered | Event::Unanswered => {}
                }
            }
        }

        #[test]
        fn an_open_circuit_lets_one_call_through_in_a_pause(steps in prop::collection::vec(0u64..300, 0..300)) {
            let (mut breaker, mut now, mut let_through) = (open_at(0), 0, 0);
            for step in steps {
                now += step;
                if breaker.allow(|| now) {
                    prop_assert!(now - let_through >= PAUSE_MS);
                    let_through = now;
                    breaker.failed(now);
                }
            }
        }
    }
}
