//! Suppresses calls from the host that only poll.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Suppresses spurious polls of the current call until [`PollSuppressor::end`].
///
/// The SDK's executor (wit-bindgen 0.57) stores a call's tasks in a `FuturesUnordered`, which
/// requests another poll whenever it has polled all its tasks. With a single task, every wait
/// therefore becomes a yield: the host's event loop runs once and calls the component again without
/// a reason. If there is a second task that sleeps, the executor yields only at the first wait.
#[must_use = "a call does not end before its sleeping task is ended"]
pub struct PollSuppressor(Rc<Sleep>);

#[derive(Default)]
struct Sleep {
    is_over: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl PollSuppressor {
    /// Adds a task that sleeps to the current call.
    pub fn start() -> Self {
        let sleep = Rc::<Sleep>::default();
        let task = sleep.clone();
        spin_sdk::wit_bindgen::spawn(poll_fn(move |cx| {
            if task.is_over.get() {
                return Poll::Ready(());
            }
            task.waker.set(Some(cx.waker().clone()));
            Poll::Pending
        }));
        Self(sleep)
    }

    /// Ends the sleeping task. Dropping does not end it: a cancelled call is dropped between two
    /// polls, together with its sleeping task, and at that time a wake-up would make the executor
    /// trap.
    pub fn end(self) {
        self.0.is_over.set(true);
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }
}

/// Runs a call from another component without spurious polls.
pub async fn suppress_spurious_polls<T>(work: impl Future<Output = T>) -> T {
    let suppressor = PollSuppressor::start();
    let result = work.await;
    suppressor.end();
    result
}
