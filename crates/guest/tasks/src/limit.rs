//! Waiting with a limit, and the clock for it.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use spin_sdk::wasip3::clocks::monotonic_clock;

/// The time of a monotonic clock in milliseconds.
pub fn now_ms() -> u64 {
    monotonic_clock::now() / 1_000_000
}

/// Waits for `work`, for at most `limit`. None if the limit has passed.
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut limit = pin!(spin_sdk::time::sleep(limit));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(value) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        limit.as_mut().poll(cx).map(|()| None)
    })
    .await
}
