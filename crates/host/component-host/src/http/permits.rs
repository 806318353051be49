//! The limit of the requests of one component at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The permits of the requests of one component. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Permits {
    free: Arc<Semaphore>,
    max: usize,
}

impl Permits {
    /// This many permits.
    pub fn new(max: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(max)), max }
    }

    /// A permit, which is returned when it is dropped; `None` if all are taken.
    pub fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.free.clone().try_acquire_owned().ok()
    }

    /// Number of permits that are taken.
    pub fn taken(&self) -> usize {
        self.max.saturating_sub(self.free.available_permits())
    }
}
