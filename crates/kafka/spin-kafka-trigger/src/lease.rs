//! The right of a partition's task to store offsets.

use std::sync::{Mutex, PoisonError};

/// Held from assignment to revocation. `revoke` waits for a store in progress, and no store begins
/// after it: an offset is never stored for a partition that was revoked.
#[derive(Debug)]
pub(crate) struct Lease {
    held: Mutex<bool>,
}

impl Lease {
    pub fn new() -> Self {
        Self { held: Mutex::new(true) }
    }

    /// Runs `store` if the lease is still held. Returns whether it was.
    pub fn while_held(&self, store: impl FnOnce()) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if *held {
            store();
        }
        *held
    }

    /// Whether the lease is still held.
    pub fn is_held(&self) -> bool {
        self.while_held(|| ())
    }

    /// Ends the lease.
    pub fn revoke(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_stored_after_the_revocation() {
        let lease = Lease::new();
        let mut stored = 0;
        assert!(lease.while_held(|| stored += 1) && lease.is_held());
        lease.revoke();
        assert!(!lease.while_held(|| stored += 1) && !lease.is_held());
        assert_eq!(stored, 1);
    }
}
