//! Spares a component calls from the host that only poll.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Keeps the executor of the current call calm until its end.
///
/// The SDK's executor (wit-bindgen 0.57) holds a call's tasks in a `FuturesUnordered`, which
/// asks to be polled again whenever it has polled all that it holds. With a single task, every
/// wait is then a yield: the host goes round its loop and calls the component once more, for
/// nothing. With a second task that sleeps, the executor yields at the first wait only.
#[must_use = "a call whose sleeper is not ended does not end"]
pub struct Calm(Rc<Sleep>);

#[derive(Default)]
struct Sleep {
    over: Cell<bool>,
    sleeper: Cell<Option<Waker>>,
}

impl Calm {
    /// Adds the sleeper.
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

    /// Ends the sleeper. Dropping does not: a call that is cancelled is dropped between two
    /// polls, its sleeper with it, and there the executor takes no wake-up, but traps.
    pub fn end(self) {
        self.0.over.set(true);
        if let Some(sleeper) = self.0.sleeper.take() {
            sleeper.wake();
        }
    }
}

/// Does the work of a call from another component.
pub async fn calmly<T>(work: impl Future<Output = T>) -> T {
    let calm = Calm::new();
    let done = work.await;
    calm.end();
    done
}
