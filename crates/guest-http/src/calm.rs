//! Spares a component calls from the host that only poll.

use futures::channel::oneshot;

/// Keeps the executor of the current call calm as long as it lives.
///
/// The SDK's executor (wit-bindgen 0.57) holds a call's tasks in a `FuturesUnordered`, which
/// asks to be polled again whenever it has polled all that it holds. With a single task, every
/// wait is then a yield: the host goes round its loop and calls the component once more, for
/// nothing. With a second task that sleeps, the executor
/// yields at the first wait only.
pub(crate) struct Calm(
    #[expect(dead_code, reason = "the sleeper ends when it is dropped")] oneshot::Sender<()>,
);

impl Calm {
    /// Adds the sleeper, which ends with the value.
    pub fn new() -> Self {
        let (end, sleeper) = oneshot::channel();
        spin_sdk::wit_bindgen::spawn(async move {
            let _ended = sleeper.await;
        });
        Self(end)
    }
}

/// Does the work of a call from another component.
pub async fn calmly<T>(work: impl Future<Output = T>) -> T {
    let _calm = Calm::new();
    work.await
}
