//! The state of the circuit in one instance.

use std::time::Duration;

use super::Config;
use super::counts::{Counts, Sample, Window};

/// The shortest time between two evaluations of the expression, as in Traefik.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The pause for clients while the trials are in progress.
const TRIAL_PAUSE: Duration = Duration::from_secs(1);

/// The state of the circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Requests pass.
    Closed,
    /// Requests are refused.
    Open,
    /// A few requests pass.
    HalfOpen,
}

/// The circuit of an instance.
#[derive(Debug)]
pub struct Circuit {
    phase: Phase,
    /// Counts the changes of the state. Requests that began in an earlier one say nothing about the
    /// present one.
    generation: u64,
    pub(super) totals: Totals,
}

#[derive(Debug)]
enum Phase {
    Closed { window: Window, checked: Duration, has_news: bool },
    Open { until: Duration },
    HalfOpen { running: u64, ended: Counts },
}

/// The requests since the start of the instance, by what happened to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub answered: u64,
    pub server_errors: u64,
    pub network_errors: u64,
    pub abandoned: u64,
    pub refused: u64,
    pub openings: u64,
}

/// Whether a request may pass.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may, and its end must be passed to [`Circuit::finish`].
    Pass(Ticket),
    /// It may not.
    Refuse(Refusal),
}

/// A request that may pass.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// A request that may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The seconds after which the client may try again.
    pub retry_after_s: u64,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { phase: Phase::closed(Duration::ZERO), generation: 0, totals: Totals::default() }
    }
}

impl Phase {
    fn closed(now: Duration) -> Self {
        Self::Closed { window: Window::default(), checked: now, has_news: false }
    }
}

impl Circuit {
    /// The state.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// Decides about a request at this time of a monotonic clock.
    pub fn admit(&mut self, config: &Config, now: Duration) -> Admission {
        self.check(config, now);
        if matches!(self.phase, Phase::Open { until } if now >= until) {
            self.change(Phase::HalfOpen { running: 0, ended: Counts::default() });
        }
        let wait = match &mut self.phase {
            Phase::Closed { .. } => None,
            Phase::Open { until } => Some(*until - now),
            Phase::HalfOpen { running, ended } if *running + ended.total < config.trials => {
                *running += 1;
                None
            }
            Phase::HalfOpen { .. } => Some(TRIAL_PAUSE),
        };
        match wait {
            None => Admission::Pass(Ticket(self.generation)),
            Some(wait) => {
                self.totals.refused += 1;
                Admission::Refuse(Refusal {
                    retry_after_s: wait.as_millis().div_ceil(1_000) as u64,
                })
            }
        }
    }

    /// Counts the end of a request. `sample` is `None` if it says nothing about the
    /// service: it was cancelled, or its client did not send all of its body.
    pub fn finish(
        &mut self,
        config: &Config,
        ticket: &Ticket,
        sample: Option<&Sample>,
        now: Duration,
    ) {
        self.totals.add(sample);
        if ticket.0 != self.generation {
            return;
        }
        match (&mut self.phase, sample) {
            (Phase::Closed { window, has_news, .. }, Some(sample)) => {
                window.add(config.window, sample, now);
                *has_news = true;
                self.check(config, now);
            }
            (Phase::HalfOpen { running, ended }, sample) => {
                *running = running.saturating_sub(1);
                if let Some(sample) = sample {
                    ended.add(sample);
                }
                if ended.total >= config.trials {
                    if config.expression.is_true(ended) {
                        self.open(config, now);
                    } else {
                        self.change(Phase::closed(now));
                    }
                }
            }
            (Phase::Closed { .. } | Phase::Open { .. }, _) => {}
        }
    }

    /// Opens a closed circuit if the expression is true.
    fn check(&mut self, config: &Config, now: Duration) {
        let Phase::Closed { window, checked, has_news } = &mut self.phase else { return };
        if !*has_news || now.saturating_sub(*checked) < CHECK_INTERVAL {
            return;
        }
        (*checked, *has_news) = (now, false);
        let counts = window.counts(config.window, now);
        if counts.total >= config.requests_min && config.expression.is_true(&counts) {
            self.open(config, now);
        }
    }

    fn open(&mut self, config: &Config, now: Duration) {
        self.totals.openings += 1;
        self.change(Phase::Open { until: now + config.fallback });
    }

    fn change(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation += 1;
    }
}

impl Totals {
    fn add(&mut self, sample: Option<&Sample>) {
        let count = match sample {
            None => &mut self.abandoned,
            Some(sample) if sample.is_network_error() => &mut self.network_errors,
            Some(Sample { status: 500.., .. }) => &mut self.server_errors,
            Some(_) => &mut self.answered,
        };
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Settings;
    use super::*;

    fn config() -> Config {
        let (requests_min, fallback_duration_s, trials) = ("4", "5", "2");
        let expression = "NetworkErrorRatio() > 0.5 || LatencyAtQuantileMS(50) > 1000";
        Config::new(&Settings {
            expression,
            requests_min,
            fallback_duration_s,
            trials,
            ..Settings::default()
        })
        .unwrap()
    }

    const GOOD: Sample = Sample { status: 200, latency: Duration::ZERO };
    const BAD: Sample = Sample { status: 502, latency: Duration::ZERO };
    const SLOW: Sample = Sample { status: 200, latency: Duration::from_secs(2) };

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn pass(circuit: &mut Circuit, now: Duration) -> Ticket {
        match circuit.admit(&config(), now) {
            Admission::Pass(ticket) => ticket,
            Admission::Refuse(refusal) => panic!("{refusal:?}"),
        }
    }

    fn refused(circuit: &mut Circuit, now: Duration) -> u64 {
        match circuit.admit(&config(), now) {
            Admission::Refuse(refusal) => refusal.retry_after_s,
            Admission::Pass(ticket) => panic!("{ticket:?}"),
        }
    }

    fn send(circuit: &mut Circuit, sample: &Sample, now: Duration) {
        let ticket = pass(circuit, now);
        circuit.finish(&config(), &ticket, Some(sample), now);
    }

    #[test]
    fn it_opens_and_closes_again() {
        for fault in [BAD, SLOW] {
            let mut circuit = Circuit::default();
            send(&mut circuit, &GOOD, s(1));
            send(&mut circuit, &fault, s(2));
            send(&mut circuit, &fault, s(3));
            assert_eq!(circuit.state(), State::Closed, "too few requests");
            let late = pass(&mut circuit, s(3));
            send(&mut circuit, &fault, s(4));
            assert_eq!(circuit.state(), State::Open);
            assert_eq!(refused(&mut circuit, s(4)), 5);
            assert_eq!(refused(&mut circuit, s(8)), 1);
            // A request that began before says nothing about the trials.
            let first = pass(&mut circuit, s(9));
            assert_eq!(circuit.state(), State::HalfOpen);
            circuit.finish(&config(), &late, Some(&fault), s(9));
            let second = pass(&mut circuit, s(9));
            assert_eq!(refused(&mut circuit, s(9)), 1);
            circuit.finish(&config(), &first, None, s(9));
            let third = pass(&mut circuit, s(9));
            circuit.finish(&config(), &second, Some(&fault), s(10));
            assert_eq!(circuit.state(), State::HalfOpen);
            circuit.finish(&config(), &third, Some(&fault), s(10));
            assert_eq!(circuit.state(), State::Open);
            assert_eq!(refused(&mut circuit, s(14)), 1);
            send(&mut circuit, &GOOD, s(15));
            assert_eq!(circuit.state(), State::HalfOpen);
            send(&mut circuit, &GOOD, s(15));
            assert_eq!(circuit.state(), State::Closed);
            // The requests before the opening do not count any more.
            send(&mut circuit, &fault, s(16));
            assert_eq!(circuit.state(), State::Closed);
            assert_eq!((circuit.totals.openings, circuit.totals.refused), (2, 4));
            assert_eq!(circuit.totals.abandoned, 1);
        }
    }

    #[test]
    fn requests_that_ended_together_open_it_at_the_next_one() {
        let mut circuit = Circuit::default();
        for _ in 0..5 {
            send(&mut circuit, &BAD, s(0));
        }
        assert_eq!(circuit.state(), State::Closed);
        assert_eq!(refused(&mut circuit, CHECK_INTERVAL), 5);
    }

    proptest! {
        /// Whatever happens, an open circuit lets requests pass again after its time, and no more
        /// trials are in progress than permitted.
        #[test]
        fn it_never_stays_open(
            steps in prop::collection::vec((0u64..2_000, 0usize..4), 1..300),
        ) {
            let config = config();
            let (mut circuit, mut now) = (Circuit::default(), s(1));
            let mut tickets = Vec::new();
            for (step, what) in steps {
                now += Duration::from_millis(step);
                if what == 0 {
                    let before = circuit.state();
                    match circuit.admit(&config, now) {
                        Admission::Pass(ticket) => tickets.push(ticket),
                        Admission::Refuse(refusal) => {
                            prop_assert!(before != State::Closed || circuit.state() == State::Open);
                            prop_assert!((1..=5).contains(&refusal.retry_after_s));
                        }
                    }
                } else if let Some(ticket) = tickets.pop() {
                    let sample = [None, Some(&GOOD), Some(&BAD)][what - 1];
                    circuit.finish(&config, &ticket, sample, now);
                }
                let trials = tickets.iter().filter(|ticket| ticket.0 == circuit.generation).count();
                prop_assert!(circuit.state() != State::HalfOpen || trials as u64 <= config.trials);
            }
            // All requests end, and the service works again.
            for ticket in tickets {
                circuit.finish(&config, &ticket, None, now);
            }
            now += s(60);
            for _ in 0..2 {
                match circuit.admit(&config, now) {
                    Admission::Pass(ticket) => {
                        circuit.finish(&config, &ticket, Some(&GOOD), now);
                    }
                    Admission::Refuse(_) => prop_assert!(false, "it stays open"),
                }
            }
            prop_assert_eq!(circuit.state(), State::Closed);
        }
    }
}
