//! State that all viewers of an instance share: the latest figures, which one of them reads for
//! all.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use figures::Etag;
use guest_tasks::now_ms;
use intake::Problem;

use crate::answers::too_many_viewers;
use crate::store;

/// The shortest time between two reads.
pub const INTERVAL_MS: u64 = 250;

/// The shortest time between two reads while the figures cannot be read.
const FAILURE_INTERVAL_MS: u64 = 1_000;

/// The maximum age of the figures that a viewer gets while another one reads.
const AGE_MAX_MS: u64 = 3_000;

/// The most viewers of one instance.
const VIEWERS_MAX: usize = 1_000;

thread_local! {
    static LATEST: RefCell<Option<Rc<Latest>>> = const { RefCell::new(None) };
    static IS_READING: Cell<bool> = const { Cell::new(false) };
    static VIEWERS: Cell<usize> = const { Cell::new(0) };
}

/// The result of the last read.
pub struct Latest {
    /// When the read ended.
    read_ms: u64,
    /// The figures, or why they could not be read.
    pub outcome: Result<Frame, Problem>,
}

/// The figures as an event, which is written once for all viewers.
pub struct Frame {
    /// The tag of the figures.
    pub etag: Etag,
    /// Valkey's time of the read, in milliseconds since 1970-01-01 UTC.
    pub time_ms: i64,
    /// The event.
    pub event: Bytes,
}

/// Counts a viewer until it is dropped.
pub struct ViewerSlot(());

impl ViewerSlot {
    /// Fails if the instance has its maximum number of viewers.
    pub fn take() -> Result<Self, Problem> {
        if VIEWERS.get() >= VIEWERS_MAX {
            return Err(too_many_viewers(VIEWERS_MAX));
        }
        VIEWERS.set(VIEWERS.get() + 1);
        Ok(Self(()))
    }
}

impl Drop for ViewerSlot {
    fn drop(&mut self) {
        VIEWERS.set(VIEWERS.get().saturating_sub(1));
    }
}

/// The right to read, until it is dropped. The drop is needed because the viewer that reads may
/// disconnect during the read.
struct ReadPermit(());

impl ReadPermit {
    fn take() -> Option<Self> {
        (!IS_READING.replace(true)).then_some(Self(()))
    }
}

impl Drop for ReadPermit {
    fn drop(&mut self) {
        IS_READING.set(false);
    }
}

/// The latest figures. They are read now if that is due and no other viewer is reading. `None`
/// while another viewer is reading and the known figures are too old.
pub async fn latest() -> Option<Rc<Latest>> {
    let known = LATEST.with_borrow(Clone::clone);
    if known.as_ref().is_some_and(|latest| latest.is_fresh()) {
        return known;
    }
    let Some(_permit) = ReadPermit::take() else {
        return known.filter(|latest| latest.age_ms() < AGE_MAX_MS);
    };
    let outcome = store::snapshot().await.map(|snapshot| Frame {
        event: crate::events::figures(&snapshot),
        etag: snapshot.etag,
        time_ms: snapshot.time_ms,
    });
    let latest = Rc::new(Latest { read_ms: now_ms(), outcome });
    LATEST.set(Some(latest.clone()));
    Some(latest)
}

impl Latest {
    fn is_fresh(&self) -> bool {
        let interval = match self.outcome {
            Ok(_) => INTERVAL_MS,
            Err(_) => FAILURE_INTERVAL_MS,
        };
        self.age_ms() < interval
    }

    fn age_ms(&self) -> u64 {
        now_ms().saturating_sub(self.read_ms)
    }
}
