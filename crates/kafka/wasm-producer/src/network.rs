//! What the caller provides: connections, clocks, random numbers, and a way for one call to wake
//! another.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::{Address, ConnectError};

/// Connections, clocks, random numbers and wake-ups.
pub trait Network {
    /// An open connection.
    type Stream: Stream;
    /// Wakes the call that waits for it when it is dropped.
    type Wake;

    /// Creates a pair: a value that wakes when it is dropped, and a future that waits for this. In
    /// a guest, every call is a separate task, and a Rust waker cannot wake another task.
    fn wake_up(&self) -> (Self::Wake, impl Future<Output = ()>);
    /// Connects to a broker.
    fn connect(
        &self,
        address: &Address,
    ) -> impl Future<Output = Result<Self::Stream, ConnectError>>;
    /// Waits for this time.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;
    /// The time of a monotonic clock.
    fn now(&self) -> Duration;
    /// Milliseconds since 1970-01-01 UTC.
    fn unix_ms(&self) -> i64;
    /// Random bits that cannot be predicted.
    fn random(&self) -> u64;
}

/// An open connection. An error is the reason why it is broken.
pub trait Stream {
    /// Sends all bytes.
    fn write(&mut self, bytes: Vec<u8>) -> impl Future<Output = Result<(), String>>;
    /// Waits for at least one byte, and appends what was received.
    fn read(&mut self, bytes: &mut Vec<u8>) -> impl Future<Output = Result<(), String>>;
}

/// Waits for `work`, for at most `limit`. None if the time is over.
pub(crate) async fn within<N: Network, T>(
    network: &N,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    let mut limit = pin!(network.sleep(limit));
    std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => limit.as_mut().poll(cx).map(|()| None),
    })
    .await
}
