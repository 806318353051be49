//! The state of the upstreams in one instance.

use std::time::Duration;

use twox_hash::XxHash3_128;

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
    ejected_until: Option<Duration>,
    /// Counts the ejections. Requests that began before the last one say nothing about the upstream
    /// after it.
    generation: u64,
}

/// The upstream of a request in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Its place in the list.
    pub index: usize,
    generation: u64,
}

/// An upstream was ejected for this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection(pub Duration);

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
    ) -> Option<Ejection> {
        let index = choice.index;
        let is_last =
            !self.states.iter().enumerate().any(|(i, s)| i != index && !s.is_ejected(now));
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
        if !is_due || is_last || state.is_ejected(now) {
            return None;
        }
        *state = State {
            in_flight: state.in_flight,
            failures: 0,
            is_on_probation: true,
            ejected_until: Some(now + config.ejection),
            generation: state.generation + 1,
        };
        Some(Ejection(config.ejection))
    }

    /// The upstreams that may be chosen; never none. After an ejection, an upstream gets one request
    /// at a time until it has answered one.
    fn available(&self, now: Duration) -> Vec<usize> {
        let all = || self.states.iter().enumerate().filter(|(_, state)| !state.is_ejected(now));
        let ready = all().filter(|(_, state)| !state.is_on_probation || state.in_flight == 0);
        let ready: Vec<_> = ready.map(|(index, _)| index).collect();
        if ready.is_empty() { all().map(|(index, _)| index).collect() } else { ready }
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
        self.ejected_until.is_some_and(|until| now < until)
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

    use super::super::Settings;
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
        assert_eq!(finish(&mut balancer, 0, Some(true), s(0)), Some(Ejection(s(10))));
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
        assert_eq!(finish(&mut balancer, 0, Some(true), s(10)), Some(Ejection(s(10))), "at once");
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
        assert_eq!(balancer.finish(&config, second, Some(true), s(0)), Some(Ejection(s(10))));
        // They end after the ejection.
        assert_eq!(balancer.finish(&config, bad, Some(true), s(11)), None);
        assert_eq!(balancer.finish(&config, good, Some(false), s(11)), None);
        assert!(balancer.states[0].is_on_probation && balancer.states[0].in_flight == 0);
        let trial = choose(&mut balancer, s(11));
        assert_eq!(balancer.finish(&config, trial, Some(true), s(11)), Some(Ejection(s(10))));
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
        /// Whatever happens, an upstream that is not ejected is chosen, and there is always one.
        #[test]
        fn not_all_are_ejected(
            p2c in any::<bool>(),
            steps in prop::collection::vec((0u64..3_000, 0usize..4, any::<bool>()), 1..300),
        ) {
            let config = config(if p2c { "p2c" } else { "round-robin" });
            let mut balancer = Balancer::new(&config);
            let (mut now, mut flights, mut random) = (s(0), Vec::new(), fastrand_like());
            for (step, what, failed) in steps {
                now += Duration::from_millis(step);
                if what > 0 {
                    let key = (what == 1).then_some(&b"key"[..]);
                    let choice = balancer.choose(&config, key, now, &mut random);
                    prop_assert!(!balancer.states[choice.index].is_ejected(now));
                    flights.push(choice);
                } else if let Some(choice) = flights.pop() {
                    balancer.finish(&config, choice, Some(failed), now);
                }
                let ejected = balancer.states.iter().filter(|state| state.is_ejected(now)).count();
                prop_assert!(ejected < 3);
                let in_flight: u32 = balancer.states.iter().map(|state| state.in_flight).sum();
                prop_assert_eq!(in_flight as usize, flights.len());
            }
        }
    }
}
