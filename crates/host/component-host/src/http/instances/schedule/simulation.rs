//! Runs the two state machines together with random events: requests that arrive and are given up,
//! instances that start, fail, are blocked and end.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Actions, PoolLimits, Schedule, Waiting};
use crate::http::instances::instance::{Change, Instance, InstanceLimits, Progress};

const AT_ONCE_MAX: usize = 3;
const INSTANCES_MAX: usize = 4;

/// A request; the cell counts those that were not dropped yet.
struct Request {
    abandoned: Rc<Cell<bool>>,
    alive: Rc<Cell<usize>>,
}

impl Waiting for Request {
    fn is_abandoned(&self) -> bool {
        self.abandoned.get()
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

/// An instance and the requests that it handles.
struct Running {
    instance: Instance,
    requests: Vec<Request>,
}

/// A pool whose instances do what the random numbers say.
struct Simulation {
    random: u64,
    now: Instant,
    schedule: Schedule<Request>,
    instances: Vec<Running>,
    alive: Rc<Cell<usize>>,
    callers: Vec<Rc<Cell<bool>>>,
    checked: bool,
    refused: usize,
    failed: usize,
    answered: usize,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let limits = PoolLimits {
            requests_at_once_max: 20,
            at_once_per_instance_max: AT_ONCE_MAX,
            instances_max: INSTANCES_MAX,
            parallel: 2,
        };
        Self {
            random: seed,
            now: Instant::now(),
            schedule: Schedule::new(limits),
            instances: Vec::new(),
            alive: Rc::default(),
            callers: Vec::new(),
            checked: false,
            refused: 0,
            failed: 0,
            answered: 0,
        }
    }

    /// A random number below `max`: a linear congruential generator with Knuth's constants.
    fn below(&mut self, max: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.random >> 33).unwrap() % max
    }

    fn perform(&mut self, actions: Actions<Request>) {
        for _ in 0..actions.start {
            let limits = InstanceLimits {
                requests_max: 7,
                at_once_max: AT_ONCE_MAX,
                idle_timeout: Duration::from_secs(10),
                request_timeout: Duration::from_secs(30),
            };
            let instance = Instance::new(limits, self.now);
            self.instances.push(Running { instance, requests: Vec::new() });
        }
        self.refused += actions.refuse.len();
        self.checked |= actions.check_later;
    }

    fn pass_on(&mut self, change: Change) {
        match change {
            Change::Nothing => {}
            Change::Answered => self.schedule.answered(),
            Change::Closed { requests } => {
                let actions = self.schedule.closed(requests);
                self.perform(actions);
            }
        }
    }

    fn arrive(&mut self) {
        let abandoned = Rc::new(Cell::new(false));
        self.callers.push(abandoned.clone());
        self.alive.set(self.alive.get() + 1);
        let request = Request { abandoned, alive: self.alive.clone() };
        let actions = self.schedule.arrived(request);
        self.perform(actions);
    }

    /// An event of one instance.
    fn run(&mut self, index: usize) {
        let is_starting = self.instances[index].instance.is_starting();
        match self.below(20) {
            0..5 if is_starting => self.fail(index),
            _ if is_starting => {
                self.schedule.created();
                self.instances[index].instance.created(self.now);
            }
            0 => self.end(index),
            1..8 => self.answer(index),
            _ => self.poll(index),
        }
    }

    fn poll(&mut self, index: usize) {
        let Running { instance, requests } = &mut self.instances[index];
        let room = instance.room();
        let (taken, actions) = self.schedule.take(room);
        assert!(taken.len() <= room);
        let change = instance.took(taken.len(), self.now);
        requests.extend(taken);
        assert!(requests.len() <= AT_ONCE_MAX);
        let progress = match self.random % 3 {
            0 => Progress::Blocked,
            1 => Progress::Computing,
            _ => Progress::Settled { accepts_calls: true },
        };
        instance.polled(progress, || true);
        self.perform(actions);
        self.pass_on(change);
    }

    fn answer(&mut self, index: usize) {
        let in_time = self.below(10) != 0;
        let Running { instance, requests } = &mut self.instances[index];
        if requests.pop().is_some() {
            let change = instance.answered(in_time, 0, self.now);
            self.answered += 1;
            self.pass_on(change);
        }
    }

    fn fail(&mut self, index: usize) {
        self.instances[index].instance.failed();
        let actions = self.schedule.creation_failed();
        self.failed += 1;
        self.perform(actions);
        self.end(index);
    }

    fn end(&mut self, index: usize) {
        let Running { instance, .. } = self.instances.swap_remove(index);
        self.schedule.ended();
        self.pass_on(instance.ended());
    }

    fn check(&mut self) {
        if std::mem::take(&mut self.checked) {
            let actions = self.schedule.interval_passed();
            self.perform(actions);
        }
    }

    fn step(&mut self) {
        match self.below(10) {
            0..4 => self.arrive(),
            4 => {
                let caller = self.below(self.callers.len().max(1));
                if let Some(caller) = self.callers.get(caller) {
                    caller.set(true);
                }
            }
            5 => self.check(),
            _ if self.instances.is_empty() => {}
            _ => {
                let index = self.below(self.instances.len());
                self.run(index);
            }
        }
        assert!(self.instances.len() <= INSTANCES_MAX);
        assert!(!self.schedule.has_waiting() || self.checked, "waiting requests are not checked");
        assert!(!self.schedule.has_waiting() || !self.instances.is_empty(), "nothing serves them");
    }
}

#[test]
fn no_request_is_lost_and_no_instance_is_counted_twice() {
    let (mut refused, mut failed, mut answered) = (0, 0, 0);
    for seed in 0..200 {
        let mut simulation = Simulation::new(seed);
        (0..2_000).for_each(|_| simulation.step());
        (refused, failed) = (refused + simulation.refused, failed + simulation.failed);
        answered += simulation.answered;
        // Without further requests, everything is served.
        for _ in 0..10_000 {
            if simulation.alive.get() == 0 {
                break;
            }
            simulation.check();
            for index in (0..simulation.instances.len()).rev() {
                simulation.run(index);
            }
        }
        assert_eq!(simulation.alive.get(), 0, "seed {seed}: requests are left");
        while let Some(first) = simulation.instances.first() {
            if first.instance.is_starting() { simulation.fail(0) } else { simulation.end(0) }
        }
        let Schedule { open, at_work, starting, alive, .. } = simulation.schedule;
        assert_eq!([open, at_work, starting, alive], [0; 4], "seed {seed}");
    }
    assert!(refused > 0 && failed > 0 && answered > 0, "{refused} {failed} {answered}");
}
