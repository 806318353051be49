//! The state machine of one instance: what it is doing, and whether it takes requests.
//!
//! The methods are the events. They take the time as an argument, do nothing themselves, and return
//! what changes for the pool or what the worker has to do next.

use std::time::Duration;

use tokio::time::Instant;

/// How long an instance is kept after a request exceeded its deadline, so that its other requests
/// can be answered. The time is short, because the guest may be in an endless loop.
const GRACE: Duration = Duration::from_secs(1);

/// The answered requests with calls that have not returned within the time of their requests, up to which
/// an instance takes other ones. Such calls cannot be cancelled, and keep their memory.
const HANGING_MAX: usize = 16;

/// The limits of an instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct InstanceLimits {
    /// The most requests in its life.
    pub requests_max: usize,
    /// The most requests at once.
    pub at_once_max: usize,
    /// The longest time without a request.
    pub idle_timeout: Duration,
    /// The longest time for its creation, and for one request.
    pub request_timeout: Duration,
}

/// One instance, from the request to create it to its end.
#[derive(Debug)]
pub(super) struct Instance {
    limits: InstanceLimits,
    phase: Phase,
    intake: Intake,
    /// Number of requests that it has taken since its creation.
    taken: usize,
}

/// What the instance is doing, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It is being created.
    Starting { since: Instant },
    /// It has no requests and nothing else to do.
    Idle { since: Instant },
    /// It handles this number of requests; the last one was taken at this time.
    Serving { requests: usize, since: Instant },
    /// It has answered all requests, and the guest still has work to do.
    Finishing { since: Instant },
}

/// Whether the instance takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intake {
    /// It takes requests.
    Open,
    /// It has just taken some. It takes more after the guest has made all possible progress with
    /// these.
    Paused,
    /// It takes no more requests: it has taken the highest number that one instance may take.
    Exhausted,
    /// It takes no more requests: one exceeded its deadline, or too many have calls that hang.
    Overdue,
    /// It takes no requests: it could not be created.
    Failed,
}

/// What changes for the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    /// One of the requests that the pool counts is answered.
    Answered,
    /// The instance takes no more requests. The pool counted this number of requests for it.
    Closed {
        requests: usize,
    },
}

/// What a poll of the guest achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// The guest's event loop did not run: a host call prevents it.
    Blocked,
    /// The guest yielded in the middle of a computation.
    Computing,
    /// The guest made all progress that is possible before the next event.
    Settled { accepts_calls: bool },
}

/// What the worker does after a poll of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It waits for an event of the guest. A request must not wake this instance.
    WaitForGuest,
    /// It also waits for a request.
    WaitForRequest,
    /// It polls the guest again at once, so that it takes the requests that wait.
    TakeRequests,
}

/// Whether an instance whose guest has nothing more to do is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterWork {
    Keep,
    End,
}

/// Why an instance is dropped at its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    /// It had no request for long enough.
    Idle,
    /// A request, or the work after it, takes longer than permitted.
    Stuck,
}

impl Instance {
    /// An instance that is being created from now on.
    pub fn new(limits: InstanceLimits, now: Instant) -> Self {
        Self { limits, phase: Phase::Starting { since: now }, intake: Intake::Open, taken: 0 }
    }

    /// The instance was created.
    pub fn created(&mut self, now: Instant) {
        self.phase = Phase::Idle { since: now };
    }

    /// The instance could not be created.
    pub fn failed(&mut self) {
        self.intake = Intake::Failed;
    }

    /// Number of requests that it may take now.
    pub fn room(&self) -> usize {
        match self.intake {
            Intake::Open => {
                let left = self.limits.requests_max.saturating_sub(self.taken);
                left.min(self.limits.at_once_max.saturating_sub(self.requests()))
            }
            Intake::Paused | Intake::Exhausted | Intake::Overdue | Intake::Failed => 0,
        }
    }

    /// The instance took this number of requests, at most as many as it has room for.
    pub fn took(&mut self, number: usize, now: Instant) -> Change {
        if number == 0 {
            return Change::Nothing;
        }
        let requests = self.requests() + number;
        self.taken += number;
        self.phase = Phase::Serving { requests, since: now };
        if self.taken < self.limits.requests_max {
            self.intake = Intake::Paused;
            return Change::Nothing;
        }
        self.intake = Intake::Exhausted;
        Change::Closed { requests }
    }

    /// One request was answered, in time or not. This many answered requests have calls that hang.
    pub fn answered(&mut self, in_time: bool, hanging: usize, now: Instant) -> Change {
        let in_order = in_time && hanging <= HANGING_MAX;
        let counted = self.requests();
        self.phase = match self.phase {
            Phase::Serving { requests: 2.., since } => {
                Phase::Serving { requests: counted - 1, since }
            }
            _ => Phase::Finishing { since: now },
        };
        let was_open = self.is_open();
        if !in_order {
            self.intake = Intake::Overdue;
        }
        match (was_open, in_order) {
            (false, _) => Change::Nothing,
            (true, true) => Change::Answered,
            (true, false) => Change::Closed { requests: counted },
        }
    }

    /// The guest has nothing more to do.
    pub fn finished(&mut self, accepts_calls: bool, now: Instant) -> AfterWork {
        if !accepts_calls || !self.is_open() {
            return AfterWork::End;
        }
        if !matches!(self.phase, Phase::Idle { .. }) {
            self.phase = Phase::Idle { since: now };
        }
        AfterWork::Keep
    }

    /// The guest was polled. `waiting` returns whether requests wait.
    pub fn polled(&mut self, progress: Progress, waiting: impl FnOnce() -> bool) -> Next {
        let Progress::Settled { accepts_calls } = progress else { return Next::WaitForGuest };
        let was_paused = self.intake == Intake::Paused;
        if was_paused {
            self.intake = Intake::Open;
        }
        if !accepts_calls || self.room() == 0 {
            Next::WaitForGuest
        } else if was_paused && waiting() {
            Next::TakeRequests
        } else {
            Next::WaitForRequest
        }
    }

    /// When the instance is dropped if its phase does not change.
    pub fn deadline(&self) -> Instant {
        let InstanceLimits { idle_timeout, request_timeout, .. } = self.limits;
        match (self.phase, self.intake) {
            (Phase::Starting { since }, _) => since + request_timeout,
            (Phase::Idle { since }, _) => since + idle_timeout,
            (Phase::Finishing { since }, Intake::Overdue) => since + GRACE,
            (Phase::Serving { since, .. } | Phase::Finishing { since }, _) => {
                since + request_timeout + GRACE
            }
        }
    }

    /// Why the instance is dropped if its deadline passes now.
    pub fn expiry(&self) -> Expiry {
        if matches!(self.phase, Phase::Idle { .. }) { Expiry::Idle } else { Expiry::Stuck }
    }

    /// The instance ended.
    pub fn ended(&self) -> Change {
        if self.is_open() { Change::Closed { requests: self.requests() } } else { Change::Nothing }
    }

    /// Whether it is being created.
    pub fn is_starting(&self) -> bool {
        self.is_open() && matches!(self.phase, Phase::Starting { .. })
    }

    fn is_open(&self) -> bool {
        matches!(self.intake, Intake::Open | Intake::Paused)
    }

    fn requests(&self) -> usize {
        match self.phase {
            Phase::Serving { requests, .. } => requests,
            Phase::Starting { .. } | Phase::Idle { .. } | Phase::Finishing { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests;
