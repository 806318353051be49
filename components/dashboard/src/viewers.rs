//! The viewers of an instance, and the latest figures, which one of them reads for all.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use figures::Etag;
use intake::Problem;

use crate::answers::too_many_viewers;
use crate::shared::{Latest, Shared};
use crate::store;

/// The shortest time between two reads.
pub const INTERVAL_MS: u64 = 250;

/// How many events with figures an instance sends per second to its viewers together, unless that
/// would be less than one in `INTERVAL_MAX_MS` for each. An event costs about as much as a sale.
const EVENTS_PER_SECOND: u64 = 50;

/// The longest time between two events with changed figures, however many viewers there are.
const INTERVAL_MAX_MS: u64 = 2_000;

/// The shortest time between two reads while the figures cannot be read.
const FAILURE_INTERVAL_MS: u64 = 1_000;

/// The most viewers of one instance.
const VIEWERS_MAX: usize = 1_000;

thread_local! {
    static LATEST: Rc<Shared<Frame>> = Rc::new(Shared::new(INTERVAL_MS, FAILURE_INTERVAL_MS));
    static VIEWERS: Cell<usize> = const { Cell::new(0) };
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

/// The shortest time between two events of a viewer.
pub fn interval_ms() -> u64 {
    let viewers = u64::try_from(VIEWERS.get()).unwrap_or(u64::MAX);
    let shared = viewers.saturating_mul(1_000) / EVENTS_PER_SECOND;
    shared.clamp(INTERVAL_MS, INTERVAL_MAX_MS)
}

/// The latest figures. They are read now if that is due and no other viewer is reading. `None`
/// while another viewer is reading and the known figures are too old.
pub async fn latest() -> Option<Rc<Latest<Frame>>> {
    let read = async {
        store::snapshot().await.map(|snapshot| Frame {
            event: crate::events::figures(&snapshot),
            etag: snapshot.etag,
            time_ms: snapshot.time_ms,
        })
    };
    LATEST.with(Rc::clone).latest(read).await
}
