//! The state of the upstreams in one instance.

use std::time::Duration;

use twox_hash::XxHash3_128;

use super::health::{CheckState, Health};
use super::{Config, Strategy, Upstream};

/// Chooses upstreams, and ejects those that fail.
#[derive(Debug)]
pub struct Balancer {
    states: Vec<State>,
    /// The upstream whose turn it is.
    next: usize,
}

#[derive(Debug, Clone, Default)]
struct State {
    in_flight: u32,
    /// Consecutive failures.
    failures: u32,
    /// It was ejected, and has not answered since then.
    is_on_probation: bool,
    ejected_until: Option<Until>,
    /// Until then, it is not used although the health checks have ejected all upstreams: its requests
    /// have failed.
    avoided_until: Option<Duration>,
    /// Counts the ejections, and those that checks have ended. Requests and checks that began before the
    /// last change say nothing about the upstream after it.
    generation: u64,
    checks: CheckState,
}

/// What ends an ejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Time(Duration),
    Healthy,
}

/// The upstream of a request in flight, or of a health check in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Its place in the list.
    pub index: usize,
    generation: u64,
}

/// A change of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was ejected for this time.
    EjectedFor(Duration),
    /// It was ejected until its health checks succeed.
    EjectedUntilHealthy,
    /// Its health checks have ejected it after all others, so that all are used.
    AllEjected,
    /// Its health checks have ended its ejection.
    Returned,
}

impl Balancer {
    /// All upstreams are available.
    pub fn new(config: &Config) -> Self {
        Self { states: vec![State::default(); config.upstreams.len()], next: 0 }
    }

    /// Chooses an upstream at this time of a monotonic clock, and counts a request in flight, which
    /// must be passed to [`Self::finish`]. `random` returns a number below its argument.
    pub fn choose(
        &mut self,
        config: &Config,
        key: Option<&[u8]>,
        now: Duration,
        random: impl FnMut(usize) -> usize,
    ) -> Choice {
        let available = self.available(now);
        let index = match (key, config.strategy) {
            (Some(key), _) => highest(&config.upstreams, &available, key),
            (None, Strategy::RoundRobin) => self.following(&available),
            (None, Strategy::PowerOfTwoChoices) => self.less_used(&available, random),
        };
        let mut generation = 0;
        if let Some(state) = self.states.get_mut(index) {
            state.in_flight += 1;
            generation = state.generation;
        }
        Choice { index, generation }
    }

    /// Counts the end of a request. `failed` is `None` if it says nothing about the upstream.
    pub fn finish(
        &mut self,
        config: &Config,
        choice: Choice,
        failed: Option<bool>,
        now: Duration,
    ) -> Option<Change> {
        let (index, is_usable) = (choice.index, self.is_usable(now));
        let is_last = !self.states.iter().enumerate().any(|(i, s)| i != index && is_usable(s));
        let state = self.states.get_mut(index)?;
        state.in_flight = state.in_flight.saturating_sub(1);
        let failed = failed.filter(|_| choice.generation == state.generation)?;
        if !failed {
            state.failures = 0;
            state.is_on_probation = false;
            return None;
        }
        state.failures = state.failures.saturating_add(1);
        let is_due = state.failures >= config.failures_max || state.is_on_probation;
        if !is_due || is_last || !is_usable(state) {
            return None;
        }
        let is_fallback = state.is_ejected(now);
        Some(if is_fallback { state.avoid(config, now) } else { state.eject(config, now) })
    }

    /// Begins the health checks that are due. Each must be passed to [`Self::finish_check`].
    pub fn begin_checks(&mut self, config: &Config, now: Duration) -> Vec<Choice> {
        let Some(checks) = &config.health else { return Vec::new() };
        let states = self.states.iter_mut().enumerate();
        let due = states.filter_map(|(index, state)| {
            let generation = state.generation;
            state.checks.begin(checks, now).then_some(Choice { index, generation })
        });
        due.collect()
    }

    /// Counts the end of a health check. `is_healthy` is `None` if it says nothing about the upstream.
    pub fn finish_check(
        &mut self,
        config: &Config,
        check: Choice,
        is_healthy: Option<bool>,
        now: Duration,
    ) -> Option<Change> {
        let (checks, state) = (config.health.as_ref()?, self.states.get_mut(check.index)?);
        state.checks.end();
        let is_healthy = is_healthy.filter(|_| check.generation == state.generation)?;
        match (state.checks.count(checks, is_healthy)?, state.ejected_until) {
            (Health::Bad, None) => {
                let change = state.eject(config, now);
                let are_all = self.states.iter().all(|state| state.is_ejected(now));
                Some(if are_all { Change::AllEjected } else { change })
            }
            (Health::Good, Some(_)) => {
                state.reset();
                Some(Change::Returned)
            }
            (Health::Bad, Some(_)) | (Health::Good, None) => None,
        }
    }

    /// Whether an upstream is used: it is not ejected, or the health checks have ejected all of them and
    /// its requests do not fail. There is always one.
    fn is_usable(&self, now: Duration) -> impl Fn(&State) -> bool + use<> {
        let are_all_ejected = self.states.iter().all(|state| state.is_ejected(now));
        move |state| {
            if are_all_ejected { !state.is_avoided(now) } else { !state.is_ejected(now) }
        }
    }

    /// The upstreams that may be chosen; never none. After an ejection, an upstream gets one request at a
    /// time until it has answered one, if there are others.
    fn available(&self, now: Duration) -> Vec<usize> {
        let those = |may_be_chosen: &dyn Fn(&State) -> bool| -> Vec<usize> {
            let states = self.states.iter().enumerate();
            states.filter(|(_, state)| may_be_chosen(state)).map(|(index, _)| index).collect()
        };
        let is_usable = self.is_usable(now);
        let is_ready = |state: &State| !state.is_on_probation || state.in_flight == 0;
        let ready = those(&|state| is_usable(state) && is_ready(state));
        if ready.is_empty() { those(&is_usable) } else { ready }
    }

    fn following(&mut self, available: &[usize]) -> usize {
        let following = available.iter().find(|index| **index >= self.next).or(available.first());
        let index = following.copied().unwrap_or_default();
        self.next = index + 1;
        index
    }

    fn less_used(&self, available: &[usize], mut random: impl FnMut(usize) -> usize) -> usize {
        let count = available.len();
        let first = random(count.max(1));
        // Another one than the first, if there is one.
        let second = (first + 1 + random(count.saturating_sub(1).max(1))) % count.max(1);
        let in_flight = |index: &usize| self.states.get(*index).map_or(0, |state| state.in_flight);
        let choices = [first, second].into_iter().filter_map(|place| available.get(place));
        choices.min_by_key(|index| in_flight(index)).copied().unwrap_or_default()
    }
}

impl State {
    fn is_ejected(&self, now: Duration) -> bool {
        self.ejected_until.is_some_and(|until| match until {
            Until::Time(until) => now < until,
            Until::Healthy => true,
        })
    }

    fn is_avoided(&self, now: Duration) -> bool {
        self.avoided_until.is_some_and(|until| now < until)
    }

    /// With health checks, these end the ejection, so that no request of a client has to.
    fn eject(&mut self, config: &Config, now: Duration) -> Change {
        self.reset();
        self.checks.forget();
        let (until, change) = match config.health {
            Some(_) => (Until::Healthy, Change::EjectedUntilHealthy),
            None => (Until::Time(now + config.ejection), Change::EjectedFor(config.ejection)),
        };
        self.ejected_until = Some(until);
        change
    }

    /// The checks may be wrong about all upstreams, so they do not decide about this one.
    fn avoid(&mut self, config: &Config, now: Duration) -> Change {
        (self.failures, self.is_on_probation) = (0, true);
        self.avoided_until = Some(now + config.ejection);
        Change::EjectedFor(config.ejection)
    }

    /// Begins anew: it is not ejected, and must answer a request.
    fn reset(&mut self) {
        (self.failures, self.is_on_probation) = (0, true);
        (self.ejected_until, self.avoided_until) = (None, None);
        self.generation += 1;
    }
}

/// Rendezvous hashing: the upstream with the highest hash of itself and the key. If one is ejected,
/// only its keys get another one.
fn highest(upstreams: &[Upstream], available: &[usize], key: &[u8]) -> usize {
    let hash = |index: &&usize| {
        let mut bytes = upstreams.get(**index).map(ToString::to_string).unwrap_or_default();
        bytes.push('\n');
        let mut bytes = bytes.into_bytes();
        bytes.extend(key);
        XxHash3_128::oneshot(&bytes)
    };
    available.iter().max_by_key(hash).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{HealthChecks, HealthSettings, Settings};
    use super::*;

    fn config(strategy: &str) -> Config {
        let upstreams = "http://a,http://b,http://c";
        let (failures_max, ejection_s) = ("2", "10");
        Config::new(&Settings {
            upstreams,
            strategy,
            failures_max,
            ejection_s,
            ..Settings::default()
        })
        .unwrap()
    }

    /// Checks every 5 s; two results in succession decide.
    fn with_checks(strategy: &str) -> Config {
        let config = config(strategy);
        let settings = HealthSettings { path: "/health", ..HealthSettings::default() };
        let health = HealthChecks::new(&settings, &config.upstreams).unwrap();
        Config { health, ..config }
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_upstream_that_fails_is_ejected_and_tried_again() {
        let config = config("round-robin");
        let mut balancer = Balancer::new(&config);
        let choose =
            |balancer: &mut Balancer, now| balancer.choose(&config, None, now, |_| 0).index;
        let finish = |balancer: &mut Balancer, index: usize, failed, now| {
            let generation = balancer.states[index].generation;
            balancer.finish(&config, Choice { index, generation }, failed, now)
        };
        for turn in [0, 1, 2, 0, 1, 2] {
            assert_eq!(choose(&mut balancer, s(0)), turn);
        }
        assert_eq!(finish(&mut balancer, 0, Some(true), s(0)), None);
        assert_eq!(finish(&mut balancer, 0, Some(true), s(0)), Some(Change::EjectedFor(s(10))));
        for _ in 0..2 {
            assert_eq!(finish(&mut balancer, 1, Some(false), s(0)), None);
            assert_eq!(finish(&mut balancer, 2, Some(false), s(0)), None);
        }
        assert_eq!([(); 4].map(|()| choose(&mut balancer, s(9))), [1, 2, 1, 2]);
        // One request at a time, until it is answered.
        assert_eq!([(); 3].map(|()| choose(&mut balancer, s(10))), [0, 1, 2]);
        assert_eq!([(); 2].map(|()| choose(&mut balancer, s(10))), [1, 2]);
        // A cancelled request says nothing about the upstream.
        assert_eq!(finish(&mut balancer, 0, None, s(10)), None);
        assert_eq!(choose(&mut balancer, s(10)), 0);
        assert_eq!(
            finish(&mut balancer, 0, Some(true), s(10)),
            Some(Change::EjectedFor(s(10))),
            "at once"
        );
        assert_eq!(choose(&mut balancer, s(20)), 1);
        assert_eq!(choose(&mut balancer, s(20)), 2);
        assert_eq!(choose(&mut balancer, s(20)), 0);
        assert_eq!(finish(&mut balancer, 0, Some(false), s(20)), None);
        assert_eq!([(); 4].map(|()| choose(&mut balancer, s(20))), [1, 2, 0, 1]);
    }

    #[test]
    fn requests_from_before_an_ejection_do_not_count() {
        let config = config("round-robin");
        let mut balancer = Balancer::new(&config);
        let choose = |balancer: &mut Balancer, now| {
            loop {
                let choice = balancer.choose(&config, None, now, |_| 0);
                if choice.index == 0 {
                    return choice;
                }
                balancer.finish(&config, choice, None, now);
            }
        };
        let [good, bad, first, second] = [(); 4].map(|()| choose(&mut balancer, s(0)));
        assert_eq!(balancer.finish(&config, first, Some(true), s(0)), None);
        assert_eq!(
            balancer.finish(&config, second, Some(true), s(0)),
            Some(Change::EjectedFor(s(10)))
        );
        // They end after the ejection.
        assert_eq!(balancer.finish(&config, bad, Some(true), s(11)), None);
        assert_eq!(balancer.finish(&config, good, Some(false), s(11)), None);
        assert!(balancer.states[0].is_on_probation && balancer.states[0].in_flight == 0);
        let trial = choose(&mut balancer, s(11));
        assert_eq!(
            balancer.finish(&config, trial, Some(true), s(11)),
            Some(Change::EjectedFor(s(10)))
        );
    }

    /// Makes the checks that are due, whose results are those of the upstreams.
    fn check(
        balancer: &mut Balancer,
        config: &Config,
        healthy: [bool; 3],
        now: Duration,
    ) -> Vec<Change> {
        let begun = balancer.begin_checks(config, now);
        let finish =
            |check: Choice| balancer.finish_check(config, check, Some(healthy[check.index]), now);
        begun.into_iter().filter_map(finish).collect()
    }

    #[test]
    fn checks_eject_an_upstream_and_end_its_ejection() {
        let config = with_checks("round-robin");
        let mut balancer = Balancer::new(&config);
        let chosen = |balancer: &mut Balancer, now| {
            [(); 3].map(|()| {
                let choice = balancer.choose(&config, None, now, |_| 0);
                balancer.finish(&config, choice, Some(false), now);
                choice.index
            })
        };
        assert_eq!(check(&mut balancer, &config, [false, true, true], s(0)), []);
        assert_eq!(check(&mut balancer, &config, [false, true, true], s(4)), [], "too early");
        assert_eq!(chosen(&mut balancer, s(4)), [0, 1, 2]);
        let change = check(&mut balancer, &config, [false, true, true], s(5));
        assert_eq!(change, [Change::EjectedUntilHealthy]);
        assert_eq!(chosen(&mut balancer, s(3_600)), [1, 2, 1], "no time ends it");
        // A check from before the ejection does not count.
        let early = Choice { index: 0, generation: 0 };
        for _ in 0..2 {
            assert_eq!(balancer.finish_check(&config, early, Some(true), s(6)), None);
        }
        assert_eq!(check(&mut balancer, &config, [true; 3], s(10)), []);
        assert_eq!(check(&mut balancer, &config, [false, true, true], s(15)), []);
        assert_eq!(check(&mut balancer, &config, [true; 3], s(20)), []);
        assert_eq!(chosen(&mut balancer, s(20)), [2, 1, 2]);
        assert_eq!(check(&mut balancer, &config, [true; 3], s(25)), [Change::Returned]);
        // One request at a time, until it is answered.
        let trial = balancer.choose(&config, None, s(25), |_| 0);
        assert_eq!(trial.index, 0);
        assert_eq!(chosen(&mut balancer, s(25)), [1, 2, 1]);
        balancer.finish(&config, trial, Some(false), s(25));
        assert_eq!(chosen(&mut balancer, s(25)), [2, 0, 1]);
    }

    #[test]
    fn an_upstream_that_requests_have_ejected_comes_back_by_checks() {
        let config = with_checks("round-robin");
        let mut balancer = Balancer::new(&config);
        let fail = |balancer: &mut Balancer| {
            let generation = balancer.states[0].generation;
            let choice = Choice { index: 0, generation };
            balancer.finish(&config, choice, Some(true), s(0))
        };
        assert_eq!(fail(&mut balancer), None);
        assert_eq!(fail(&mut balancer), Some(Change::EjectedUntilHealthy));
        let first = |balancer: &mut Balancer, now| {
            let choice = balancer.choose(&config, None, now, |_| 0);
            balancer.finish(&config, choice, None, now);
            balancer.next = 0;
            choice.index
        };
        assert_eq!(first(&mut balancer, s(3_600)), 1);
        assert_eq!(check(&mut balancer, &config, [true; 3], s(0)), []);
        assert_eq!(first(&mut balancer, s(4)), 1);
        // A check that says nothing does not end the ejection, and the next one is made.
        for check in balancer.begin_checks(&config, s(5)) {
            assert_eq!(balancer.finish_check(&config, check, None, s(5)), None);
        }
        assert_eq!(first(&mut balancer, s(9)), 1);
        assert_eq!(check(&mut balancer, &config, [true; 3], s(10)), [Change::Returned]);
        assert_eq!(first(&mut balancer, s(10)), 0);
    }

    #[test]
    fn if_no_upstream_is_healthy_all_are_used() {
        let config = with_checks("round-robin");
        let mut balancer = Balancer::new(&config);
        for now in [s(0), s(5)] {
            check(&mut balancer, &config, [false; 3], now);
        }
        let chosen = [(); 4].map(|()| balancer.choose(&config, None, s(5), |_| 0).index);
        assert_eq!(chosen, [0, 1, 2, 0]);
        for now in [s(10), s(15)] {
            check(&mut balancer, &config, [false, true, false], now);
        }
        let chosen = [(); 4].map(|()| balancer.choose(&config, None, s(15), |_| 0).index);
        assert_eq!(chosen, [1; 4]);
    }

    #[test]
    fn requests_decide_while_the_checks_have_ejected_all() {
        let config = with_checks("round-robin");
        let mut balancer = Balancer::new(&config);
        check(&mut balancer, &config, [false; 3], s(0));
        let changes = check(&mut balancer, &config, [false; 3], s(5));
        let until_healthy = Change::EjectedUntilHealthy;
        assert_eq!(changes, [until_healthy, until_healthy, Change::AllEjected]);
        // The first upstream does not answer. The others answer, and are used then.
        let flights = [(); 3].map(|()| balancer.choose(&config, None, s(5), |_| 0));
        assert_eq!(flights.map(|choice| choice.index), [0, 1, 2]);
        for choice in &flights[1..] {
            assert_eq!(balancer.finish(&config, *choice, Some(false), s(5)), None);
        }
        let chosen = [(); 4].map(|()| balancer.choose(&config, None, s(5), |_| 0));
        assert_eq!(chosen.map(|choice| choice.index), [1, 2, 1, 2], "one request at a time");
        for choice in chosen {
            assert_eq!(balancer.finish(&config, choice, None, s(5)), None);
        }
        let avoided = Some(Change::EjectedFor(s(10)));
        assert_eq!(balancer.finish(&config, flights[0], Some(true), s(6)), avoided);
        let next = |balancer: &mut Balancer, now, failed| {
            let choice = balancer.choose(&config, None, now, |_| 0);
            (choice.index, balancer.finish(&config, choice, Some(failed), now))
        };
        let others = [(); 4].map(|()| next(&mut balancer, s(15), false).0);
        assert_eq!(others, [1, 2, 1, 2]);
        assert_eq!(next(&mut balancer, s(16), true), (0, avoided), "at once");
        // Another one fails, and the last one is used whatever happens.
        assert_eq!(next(&mut balancer, s(17), true), (1, None));
        assert_eq!(next(&mut balancer, s(17), true), (2, None));
        assert_eq!(next(&mut balancer, s(17), true), (1, avoided));
        assert_eq!([(); 3].map(|()| next(&mut balancer, s(17), true)), [(2, None); 3]);
        // The checks end all of it.
        for now in [s(20), s(25)] {
            check(&mut balancer, &config, [true; 3], now);
        }
        assert_eq!([(); 3].map(|()| next(&mut balancer, s(25), false).0), [0, 1, 2]);
    }

    #[test]
    fn requests_from_before_a_return_do_not_count() {
        let config = with_checks("round-robin");
        let mut balancer = Balancer::new(&config);
        for now in [s(0), s(5)] {
            check(&mut balancer, &config, [false; 3], now);
        }
        let old = balancer.choose(&config, None, s(5), |_| 0);
        assert_eq!(old.index, 0);
        for now in [s(10), s(15)] {
            check(&mut balancer, &config, [true; 3], now);
        }
        assert_eq!(balancer.finish(&config, old, Some(true), s(16)), None);
        assert!(!balancer.states[0].is_ejected(s(16)));
        assert_eq!((balancer.states[0].failures, balancer.states[0].in_flight), (0, 0));
    }

    #[test]
    fn of_two_choices_the_less_used_one_is_taken() {
        let config = config("p2c");
        let mut balancer = Balancer::new(&config);
        // The first choice is always upstream 0; the second one is 1.
        let chosen = [(); 4].map(|()| balancer.choose(&config, None, s(0), |_| 0).index);
        assert_eq!(chosen, [0, 1, 0, 1]);
        let mut random = fastrand_like();
        for _ in 0..300 {
            balancer.choose(&config, None, s(0), &mut random);
        }
        let loads: Vec<_> = balancer.states.iter().map(|state| state.in_flight).collect();
        assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 10, "{loads:?}");
    }

    /// A linear congruential generator, for a test that is the same each time.
    fn fastrand_like() -> impl FnMut(usize) -> usize {
        let mut state = 1_u64;
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        }
    }

    #[test]
    fn keys_keep_their_upstream() {
        let config = config("round-robin");
        let mut balancer = Balancer::new(&config);
        let keys: Vec<_> = (0..300).map(|key| format!("key {key}")).collect();
        let choose = |balancer: &mut Balancer| -> Vec<usize> {
            let choose = |key: &String| {
                let choice = balancer.choose(&config, Some(key.as_bytes()), s(0), |_| 0);
                balancer.finish(&config, choice, None, s(0));
                choice.index
            };
            keys.iter().map(choose).collect()
        };
        let before = choose(&mut balancer);
        assert_eq!(before, choose(&mut balancer));
        for index in 0..3 {
            assert!(before.iter().filter(|chosen| **chosen == index).count() > 60);
        }
        for _ in 0..2 {
            balancer.finish(&config, Choice { index: 1, generation: 0 }, Some(true), s(0));
        }
        let after = choose(&mut balancer);
        for (before, after) in before.into_iter().zip(after) {
            assert!(before == after || before == 1 && after != 1);
        }
    }

    proptest! {
        /// Whatever happens, an upstream that is not ejected is chosen if there is one. Only health
        /// checks eject all of them.
        #[test]
        fn an_upstream_that_is_not_ejected_is_chosen(
            p2c in any::<bool>(),
            has_checks in any::<bool>(),
            steps in prop::collection::vec((0u64..3_000, 0usize..5, any::<bool>()), 1..300),
        ) {
            let strategy = if p2c { "p2c" } else { "round-robin" };
            let config = if has_checks { with_checks(strategy) } else { config(strategy) };
            let mut balancer = Balancer::new(&config);
            let (mut now, mut flights, mut random) = (s(0), Vec::new(), fastrand_like());
            for (step, what, failed) in steps {
                now += Duration::from_millis(step);
                let ejected = |balancer: &Balancer| {
                    balancer.states.iter().filter(|state| state.is_ejected(now)).count()
                };
                let before = ejected(&balancer);
                if what > 1 {
                    let key = (what == 2).then_some(&b"key"[..]);
                    let is_usable = balancer.is_usable(now);
                    let choice = balancer.choose(&config, key, now, &mut random);
                    prop_assert!(is_usable(&balancer.states[choice.index]));
                    prop_assert!(before == 3 || !balancer.states[choice.index].is_ejected(now));
                    flights.push(choice);
                } else if what == 1 {
                    for check in balancer.begin_checks(&config, now) {
                        balancer.finish_check(&config, check, Some(failed), now);
                    }
                } else if let Some(choice) = flights.pop() {
                    balancer.finish(&config, choice, Some(failed), now);
                    prop_assert!(before == 3 || ejected(&balancer) < 3);
                }
                prop_assert!(has_checks || ejected(&balancer) < 3);
                let in_flight: u32 = balancer.states.iter().map(|state| state.in_flight).sum();
                prop_assert_eq!(in_flight as usize, flights.len());
            }
        }
    }
}
