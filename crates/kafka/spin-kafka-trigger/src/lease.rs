//! The right of a partition's task to store offsets.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Held from assignment to revocation. `revoke` waits for a store in progress, and no store or
/// write begins after it: an offset is never stored for a partition that was revoked.
#[derive(Debug)]
pub(crate) struct Lease {
    state: Mutex<State>,
    write_ended: Condvar,
}

#[derive(Debug)]
struct State {
    held: bool,
    writes: u32,
}

/// A transaction in progress that commits an offset of the partition.
#[derive(Debug)]
pub(crate) struct Write(Arc<Lease>);

impl Lease {
    pub fn new() -> Self {
        Self { state: Mutex::new(State { held: true, writes: 0 }), write_ended: Condvar::new() }
    }

    /// Runs `store` if the lease is still held. Returns whether it was.
    pub fn while_held(&self, store: impl FnOnce()) -> bool {
        let state = self.lock();
        if state.held {
            store();
        }
        state.held
    }

    /// Begins a write, which ends when the value is dropped; `None` if the lease is not held.
    pub fn begin_write(self: &Arc<Self>) -> Option<Write> {
        let mut state = self.lock();
        state.held.then(|| {
            state.writes += 1;
            Write(self.clone())
        })
    }

    /// Ends the lease.
    pub fn revoke(&self) {
        self.lock().held = false;
    }

    /// Waits for writes in progress. Returns whether they ended before the deadline. Blocks.
    pub fn writes_ended_by(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let is_writing = |state: &mut State| state.writes > 0;
        let waited = self.write_ended.wait_timeout_while(self.lock(), left, is_writing);
        waited.unwrap_or_else(PoisonError::into_inner).0.writes == 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        self.0.lock().writes -= 1;
        self.0.write_ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn nothing_is_stored_after_the_revocation() {
        let lease = Arc::new(Lease::new());
        let mut stored = 0;
        assert!(lease.while_held(|| stored += 1) && lease.begin_write().is_some());
        lease.revoke();
        assert!(!lease.while_held(|| stored += 1) && lease.begin_write().is_none());
        assert_eq!(stored, 1);
    }

    #[test]
    fn a_write_that_began_before_the_revocation_is_awaited() {
        let lease = Arc::new(Lease::new());
        let (first, second) = (lease.begin_write().unwrap(), lease.begin_write().unwrap());
        lease.revoke();
        drop(first);
        assert!(!lease.writes_ended_by(Instant::now()));
        let ending = thread::spawn(move || drop(second));
        assert!(lease.writes_ended_by(Instant::now() + Duration::from_secs(60)));
        ending.join().unwrap();
    }
}
