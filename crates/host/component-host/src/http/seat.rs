//! The place of one instance in its pool, from the instance's start to its end.

use std::sync::Arc;

use super::pool::{Job, Pool};

/// The place of one instance among those that take requests. It is freed when it is dropped, for
/// whatever reason the instance ends.
pub(super) struct Seat {
    pool: Arc<Pool>,
    total: usize,
    at_work: usize,
    starting: bool,
    open: bool,
}

impl Seat {
    /// The place of an instance whose start has just been requested.
    pub fn new(pool: &Arc<Pool>) -> Self {
        Self { pool: pool.clone(), total: 0, at_work: 0, starting: true, open: true }
    }

    /// Notes that the instance was created.
    pub fn made(&mut self) {
        if std::mem::replace(&mut self.starting, false) {
            self.pool.queue().starting -= 1;
        }
    }

    /// Notes that the instance could not be created, and refuses the requests that cannot be served
    /// without it.
    pub fn failed(mut self, error: &wasmtime::Error) {
        self.made();
        // `close` is not used, because it would start another instance as a replacement.
        self.open = false;
        self.pool.queue().load.instances -= 1;
        self.pool.refuse(error);
    }

    /// Whether the instance still takes requests.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether the instance can take a request now.
    pub fn has_room(&self) -> bool {
        self.open && self.at_work < self.pool.at_once_max
    }

    /// Whether the instance can take a request now and there is one.
    pub fn is_wanted(&self) -> bool {
        self.has_room() && !self.pool.queue().jobs.is_empty()
    }

    /// Takes requests.
    pub fn take(&mut self) -> Vec<Job> {
        if !self.open {
            return Vec::new();
        }
        let left = self.pool.total_max - self.total;
        let jobs = self.pool.take(left.min(self.pool.at_once_max - self.at_work));
        self.total += jobs.len();
        self.at_work += jobs.len();
        if self.total == self.pool.total_max {
            self.close();
        }
        jobs
    }

    /// Notes that one request is answered.
    pub fn done(&mut self) {
        self.at_work -= 1;
        if self.open {
            self.pool.queue().load.at_work -= 1;
        }
    }

    /// Stops taking requests. Other instances take those that wait.
    pub fn close(&mut self) {
        if std::mem::replace(&mut self.open, false) {
            let mut queue = self.pool.queue();
            queue.load.instances -= 1;
            queue.load.at_work -= self.at_work;
            let mut has_places = true;
            while has_places && !queue.jobs.is_empty() && self.pool.wants_another(&queue) {
                has_places = self.pool.start(&mut queue);
            }
            let left = !queue.jobs.is_empty();
            drop(queue);
            if !has_places {
                self.pool.refuse_beyond_share();
            }
            if left {
                self.pool.wake_one();
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.made();
        self.pool.queue().alive -= 1;
        self.close();
    }
}
