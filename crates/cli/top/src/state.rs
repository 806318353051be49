//! The latest answers of all sources, and what is wrong.

use std::time::Instant;

use jiff::Timestamp;

use crate::args::Base;
use crate::error::FetchError;
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;
use crate::sources::{Sources, Update};
use crate::text::clock;
use crate::window::Window;

/// A moment, by both clocks: differences are computed with the first, and the second is shown.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic clock.
    pub instant: Instant,
    /// The time of day.
    pub time: Timestamp,
}

impl Now {
    /// The current time.
    pub fn read() -> Self {
        Self { instant: Instant::now(), time: Timestamp::now() }
    }
}

/// The latest answers of all sources.
#[derive(Debug)]
pub struct State {
    /// The URL of the application.
    pub app: Base,
    /// The figures of the sales.
    pub snapshot: Latest<Snapshot>,
    /// The processes.
    pub processes: Vec<Process>,
}

/// A process of the application.
#[derive(Debug)]
pub struct Process {
    /// The URL of its operator port.
    pub operator: Base,
    /// Its metrics.
    pub metrics: Latest<Metrics>,
    /// The problems that prevent it from being ready.
    pub readiness: Latest<Vec<String>>,
}

/// The latest answers of a source.
#[derive(Debug)]
pub struct Latest<T> {
    /// The latest values.
    pub window: Window<T>,
    /// The time of the latest value.
    last: Option<Timestamp>,
    /// Why there is no newer value.
    fault: Option<FetchError>,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self { window: Window::default(), last: None, fault: None }
    }
}

impl<T> Latest<T> {
    /// Stores an answer. After an error the latest value remains.
    fn update(&mut self, now: Now, answer: Result<T, FetchError>) {
        match answer {
            Ok(value) => {
                self.window.push(now.instant, value);
                (self.last, self.fault) = (Some(now.time), None);
            }
            Err(fault) => {
                self.window.forget_earlier();
                self.fault = Some(fault);
            }
        }
    }

    /// Whether the source has answered, or failed to.
    fn is_known(&self) -> bool {
        self.last.is_some() || self.fault.is_some()
    }

    /// What is wrong, and since when the values are not current.
    fn problem(&self) -> Option<String> {
        let fault = self.fault.as_ref()?;
        Some(match (self.last, fault) {
            (Some(last), _) => format!("stale since {}: {fault}", clock(last)),
            (None, FetchError::Unreachable(_)) => {
                format!("{fault}; does the application run, and is this its address?")
            }
            (None, _) if fault.is_retriable() => fault.to_string(),
            (None, _) => format!("{fault}; is this the right URL?"),
        })
    }

    /// When the values have stopped to be current.
    pub fn stale_since(&self) -> Option<Timestamp> {
        self.fault.as_ref().and(self.last)
    }
}

impl State {
    /// The state before the first answer.
    pub fn new(sources: &Sources) -> Self {
        let process = |operator: &Base| Process {
            operator: operator.clone(),
            metrics: Latest::default(),
            readiness: Latest::default(),
        };
        Self {
            app: sources.app().clone(),
            snapshot: Latest::default(),
            processes: sources.operators().iter().map(process).collect(),
        }
    }

    /// Stores the answer of a source.
    pub fn apply(&mut self, update: Update, now: Now) {
        match update {
            Update::Snapshot(answer) => self.snapshot.update(now, answer),
            Update::Metrics(at, answer) => {
                if let Some(process) = self.processes.get_mut(at) {
                    process.metrics.update(now, answer);
                }
            }
            Update::Readiness(at, answer) => {
                if let Some(process) = self.processes.get_mut(at) {
                    process.readiness.update(now, answer);
                }
            }
        }
    }

    /// Whether every source has answered, or failed to.
    pub fn is_complete(&self) -> bool {
        let known = |process: &Process| process.metrics.is_known() && process.readiness.is_known();
        self.snapshot.is_known() && self.processes.iter().all(known)
    }

    /// Whether everything is known and nothing is wrong.
    pub fn is_healthy(&self) -> bool {
        self.is_complete() && self.problems().is_empty()
    }

    /// What is wrong, one line each.
    pub fn problems(&self) -> Vec<String> {
        let api = self.snapshot.problem();
        let mut problems: Vec<_> =
            api.map(|problem| format!("read API {}: {problem}", self.app)).into_iter().collect();
        for process in &self.processes {
            let operator = &process.operator;
            // If both failed, the reason is the same.
            match process.readiness.problem().or_else(|| process.metrics.problem()) {
                Some(problem) => problems.push(format!("operator port {operator}: {problem}")),
                None => problems
                    .extend(process.readiness.window.latest().into_iter().flatten().cloned()),
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{answered, broken, later, sources, state};

    #[test]
    fn nothing_is_healthy_before_every_source_has_answered() {
        let (mut state, now) = (State::new(&sources(2)), Now::read());
        assert!(!state.is_healthy() && state.problems().is_empty());
        let updates = answered(2, 0);
        for update in updates {
            assert!(!state.is_healthy());
            state.apply(update, now);
        }
        assert!(state.is_healthy(), "{:?}", state.problems());
    }

    #[test]
    fn a_source_that_fails_is_named_and_recovers() {
        let (mut state, now) = state(1);
        for update in broken(1) {
            state.apply(update, later(now, 60));
        }
        let since = format!("stale since {}", clock(now.time));
        let problems = [
            format!(
                "read API http://shop:3000: {since}: the response is 503 Service Unavailable: \
                 Valkey cannot be reached"
            ),
            format!("operator port http://shop:3001: {since}: cannot connect (Connection refused)"),
        ];
        assert_eq!(state.problems(), problems);
        assert!(state.snapshot.window.latest().is_some(), "the figures remain");
        for update in answered(1, 2) {
            state.apply(update, later(now, 120));
        }
        assert!(state.is_healthy(), "{:?}", state.problems());
    }

    #[test]
    fn a_process_that_is_not_ready_says_why() {
        let (mut state, now) = state(2);
        let line = "aggregator: the brokers do not answer";
        state.apply(Update::Readiness(1, Ok(vec![line.into()])), now);
        assert_eq!(state.problems(), [line]);
        assert!(!state.is_healthy());
    }

    #[test]
    fn a_source_that_has_never_answered_comes_with_advice() {
        let now = Now::read();
        let unexpected =
            FetchError::Unexpected { expected: "a snapshot", reason: "no JSON".into() };
        for (fault, problem) in [
            (unexpected, "the response is not a snapshot (no JSON); is this the right URL?"),
            (
                FetchError::Unreachable("refused".into()),
                "cannot connect (refused); does the application run, and is this its address?",
            ),
            (FetchError::Broken("closed".into()), "the request failed (closed)"),
        ] {
            let mut state = State::new(&sources(0));
            state.apply(Update::Snapshot(Err(fault)), now);
            assert_eq!(state.problems(), [format!("read API http://shop:3000: {problem}")]);
        }
    }
}
