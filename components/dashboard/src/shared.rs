//! A value that one call reads for all calls of the instance.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use guest_tasks::now_ms;
use intake::Problem;

/// The maximum age of a value that a call gets while another call reads.
const AGE_MAX_MS: u64 = 3_000;

/// The latest value. It is read again when a call needs it and it is older than an interval.
pub struct Shared<T, E = Problem> {
    interval_ms: u64,
    failure_interval_ms: u64,
    latest: RefCell<Option<Rc<Latest<T, E>>>>,
    is_reading: Cell<bool>,
}

/// The result of the last read.
pub struct Latest<T, E = Problem> {
    /// When the read ended, by the monotonic clock.
    pub read_ms: u64,
    /// The value, or why it could not be read.
    pub outcome: Result<T, E>,
}

impl<T, E> Shared<T, E> {
    /// A value that is read at most once in `interval_ms`, and once in `failure_interval_ms` after
    /// a failure.
    pub const fn new(interval_ms: u64, failure_interval_ms: u64) -> Self {
        Self {
            interval_ms,
            failure_interval_ms,
            latest: RefCell::new(None),
            is_reading: Cell::new(false),
        }
    }

    /// The latest value. It is read with `read` if that is due and no other call is reading. `None`
    /// while another call is reading and the known value is too old.
    pub async fn latest(
        &self,
        read: impl Future<Output = Result<T, E>>,
    ) -> Option<Rc<Latest<T, E>>> {
        if !self.is_outdated() {
            return self.known();
        }
        let Some(_permit) = ReadPermit::take(&self.is_reading) else {
            return self.known();
        };
        let outcome = read.await;
        let latest = Rc::new(Latest { read_ms: now_ms(), outcome });
        self.latest.replace(Some(latest.clone()));
        Some(latest)
    }

    /// The latest value without a read; `None` if there is none or it is too old.
    pub fn known(&self) -> Option<Rc<Latest<T, E>>> {
        self.latest.borrow().clone().filter(|latest| latest.age_ms() < AGE_MAX_MS)
    }

    /// Whether a read is due and no call is reading.
    pub fn is_due(&self) -> bool {
        !self.is_reading.get() && self.is_outdated()
    }

    fn is_outdated(&self) -> bool {
        self.latest.borrow().as_ref().is_none_or(|latest| {
            let is_failure = latest.outcome.is_err();
            let interval = if is_failure { self.failure_interval_ms } else { self.interval_ms };
            latest.age_ms() >= interval
        })
    }
}

impl<T, E> Latest<T, E> {
    fn age_ms(&self) -> u64 {
        now_ms().saturating_sub(self.read_ms)
    }
}

/// The right to read, until it is dropped. The drop is needed because the call that reads may be
/// cancelled during the read.
struct ReadPermit<'a>(&'a Cell<bool>);

impl<'a> ReadPermit<'a> {
    fn take(is_reading: &'a Cell<bool>) -> Option<Self> {
        (!is_reading.replace(true)).then_some(Self(is_reading))
    }
}

impl Drop for ReadPermit<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
