//! The state machine of a pool: the requests that wait, and the number of instances for them.
//!
//! The methods are the events. They do nothing themselves; the returned [`Actions`] are performed
//! after the schedule is unlocked.
//!
//! An instance handles several requests concurrently, so few instances serve many requests: one for
//! each processor, and more only if these are at their limit of requests or make no progress. With
//! few instances their memory stays in the processor's caches, and what a guest shares among its
//! calls, such as a connection, is shared by more requests.

use std::collections::VecDeque;

/// A request that waits for an instance.
pub(super) trait Waiting {
    /// Whether its caller no longer waits.
    fn is_abandoned(&self) -> bool;
}

/// The limits of a pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolLimits {
    /// The most requests of callers that still wait. The callers are limited elsewhere; if more
    /// requests than this wait, the abandoned ones are dropped at once.
    pub requests_at_once_max: usize,
    /// The most requests that an instance handles at once.
    pub at_once_per_instance_max: usize,
    /// The most instances at once.
    pub instances_max: usize,
    /// Number of instances that can compute at the same time.
    pub parallel: usize,
}

/// The requests that wait, and the numbers of instances.
pub(super) struct Schedule<R> {
    limits: PoolLimits,
    waiting: VecDeque<R>,
    /// Instances that take requests or are being created.
    open: usize,
    /// Requests that these instances are handling.
    at_work: usize,
    /// Instances that are being created.
    starting: usize,
    /// Instances between their start and their end, including those that take no more requests.
    alive: usize,
    check: Check,
}

/// The check for a standstill, which is made in intervals while requests wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// No check is due.
    Off,
    /// A check is due, and no request was taken since the last one.
    NothingTaken,
    /// A check is due, and requests were taken since the last one.
    Taken,
}

/// What has to be done after an event.
#[derive(Debug)]
#[must_use]
pub(super) struct Actions<R> {
    /// Number of instances to create.
    pub start: usize,
    /// Requests to refuse, because the instances have no room for them and no other may be created.
    pub refuse: VecDeque<R>,
    /// Requests to drop, because their callers no longer wait.
    pub abandoned: Vec<R>,
    /// Whether to wake the instance that became idle last, so that it takes requests.
    pub wake: bool,
    /// Whether to check for a standstill after the next interval.
    pub check_later: bool,
}

impl<R> Default for Actions<R> {
    fn default() -> Self {
        Self {
            start: 0,
            refuse: VecDeque::new(),
            abandoned: Vec::new(),
            wake: false,
            check_later: false,
        }
    }
}

impl<R: Waiting> Schedule<R> {
    /// A schedule without requests and instances.
    pub fn new(limits: PoolLimits) -> Self {
        let waiting = VecDeque::new();
        Self { limits, waiting, open: 0, at_work: 0, starting: 0, alive: 0, check: Check::Off }
    }

    /// A request arrived.
    pub fn arrived(&mut self, request: R) -> Actions<R> {
        let mut actions = Actions::default();
        if self.waiting.len() >= self.limits.requests_at_once_max {
            actions.abandoned = self.take_abandoned();
        }
        self.waiting.push_back(request);
        if self.needs_another() && !self.start(&mut actions) {
            actions.refuse = self.beyond_capacity();
        }
        if self.check == Check::Off {
            self.check = Check::NothingTaken;
            actions.check_later = true;
        }
        actions.wake = true;
        actions
    }

    /// An instance takes its fair share of the waiting requests, at most `room`.
    pub fn take(&mut self, room: usize) -> (Vec<R>, Actions<R>) {
        let share = self.waiting.len().div_ceil(self.open.max(1)).min(room);
        let (abandoned, taken): (Vec<R>, Vec<R>) =
            self.waiting.drain(..share).partition(R::is_abandoned);
        self.at_work += taken.len();
        if share > 0 && self.check != Check::Off {
            self.check = Check::Taken;
        }
        let wake = self.has_waiting();
        (taken, Actions { abandoned, wake, ..Actions::default() })
    }

    /// An instance was created.
    pub fn created(&mut self) {
        self.starting -= 1;
    }

    /// An instance could not be created, and is closed. The requests that cannot be served without
    /// it are refused, and no other instance is created in its place.
    pub fn creation_failed(&mut self) -> Actions<R> {
        self.starting -= 1;
        self.open -= 1;
        Actions { refuse: self.beyond_capacity(), ..Actions::default() }
    }

    /// A request of an open instance was answered.
    pub fn answered(&mut self) {
        self.at_work -= 1;
    }

    /// An instance with this number of requests takes no more. Other instances take those that
    /// wait.
    pub fn closed(&mut self, requests: usize) -> Actions<R> {
        self.open -= 1;
        self.at_work -= requests;
        let mut actions = Actions { wake: self.has_waiting(), ..Actions::default() };
        while self.has_waiting() && self.needs_another() {
            if !self.start(&mut actions) {
                actions.refuse = self.beyond_capacity();
                break;
            }
        }
        actions
    }

    /// An instance ended that takes no more requests.
    pub fn ended(&mut self) {
        self.alive -= 1;
    }

    /// An interval has passed: drops the abandoned requests, and starts another instance if no
    /// request was taken. The existing ones are then computing, or wait for a host call during
    /// which no other call can run.
    pub fn interval_passed(&mut self) -> Actions<R> {
        let abandoned = self.take_abandoned();
        let mut actions = Actions { abandoned, ..Actions::default() };
        if !self.has_waiting() {
            self.check = Check::Off;
            return actions;
        }
        if self.check == Check::NothingTaken && self.starting == 0 {
            // At the limit of instances the requests continue to wait: the instances have room for
            // them.
            self.start(&mut actions);
        }
        self.check = Check::NothingTaken;
        actions.check_later = true;
        actions
    }

    /// Whether requests wait.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The most instances at once.
    pub fn instances_max(&self) -> usize {
        self.limits.instances_max
    }

    /// Whether another instance should be created for the waiting requests: until there is one for
    /// each processor, and when the existing ones have no room for them.
    fn needs_another(&self) -> bool {
        let requests = self.at_work + self.waiting.len();
        requests > self.capacity() || (self.open < self.limits.parallel && requests > self.open)
    }

    /// Counts another instance and adds its creation to the actions. Returns `false` if the limit
    /// is reached.
    fn start(&mut self, actions: &mut Actions<R>) -> bool {
        if self.alive >= self.limits.instances_max {
            return false;
        }
        self.open += 1;
        self.starting += 1;
        self.alive += 1;
        actions.start += 1;
        true
    }

    /// The most requests that the open instances can handle at once.
    fn capacity(&self) -> usize {
        self.open.saturating_mul(self.limits.at_once_per_instance_max)
    }

    /// Takes the waiting requests for which the open instances have no room.
    fn beyond_capacity(&mut self) -> VecDeque<R> {
        let room = self.capacity().saturating_sub(self.at_work);
        self.waiting.split_off(self.waiting.len().min(room))
    }

    /// Takes the requests whose callers no longer wait.
    fn take_abandoned(&mut self) -> Vec<R> {
        if !self.waiting.iter().any(R::is_abandoned) {
            return Vec::new();
        }
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let (abandoned, waiting): (VecDeque<R>, VecDeque<R>) = waiting.partition(R::is_abandoned);
        self.waiting = waiting;
        abandoned.into()
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
