//! Suppresses calls from the host that only poll.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Suppresses spurious polls of the current call until [`Calm::end`].
///
/// The SDK's executor (wit-bindgen 0.57) stores a call's tasks in a `FuturesUnordered`, which
/// requests another poll whenever it has polled all its tasks. With a single task, every wait
/// therefore becomes a yield: the host's event loop runs once and calls the component again without
/// a reason. If there is a second task that sleeps, the executor yields only at the first wait.
#[must_use = "a call whose sleeper is not ended does not end"]
pub struct Calm(Rc<Sleep>);

#[derive(Default)]
struct Sleep {
    over: Cell<bool>,
    sleeper: Cell<Option<Waker>>,
}

impl Calm {
    /// Adds a task that sleeps.
    #[expect(clippy::new_without_default, reason = "it does something to the current call")]
    pub fn new() -> Self {
        let sleep = Rc::<Sleep>::default();
        let sleeping = sleep.clone();
        spin_sdk::wit_bindgen::spawn(poll_fn(move |cx| {
            if sleeping.over.get() {
                return Poll::Ready(());
            }
            sleeping.sleeper.set(Some(cx.waker().clone()));
            Poll::Pending
        }));
        Self(sleep)
    }

    /// Ends the sleeping task. Dropping does not end it: a cancelled call is dropped between two
    /// polls, together with its sleeping task, and at that time a wake-up would make the executor
    /// trap.
    pub fn end(self) {
        self.0.over.set(true);
        if let Some(sleeper) = self.0.sleeper.take() {
            sleeper.wake();
        }
    }
}

/// Runs a call from another component, without spurious polls.
pub async fn calmly<T>(work: impl Future<Output = T>) -> T {
    let calm = Calm::new();
    let done = work.await;
    calm.end();
    done
}
