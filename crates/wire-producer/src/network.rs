//! What the producer needs of the world around it: connections, clocks, and a way for one call
//! to wake another.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::{Address, ConnectError};

/// Connections, clocks, chance and wake-ups.
pub trait Network {
    /// An open connection.
    type Stream: Stream;
    /// Wakes who waits for it when it is dropped.
    type Wake;

    /// A wake-up: one end to drop, and one to wait for that. A guest's calls are tasks of their
    /// own, and Rust's wakers do not reach from one to another.
    fn wake_up(&self) -> (Self::Wake, impl Future<Output = ()>);
    /// Connects to a broker.
    fn connect(
        &self,
        address: &Address,
    ) -> impl Future<Output = Result<Self::Stream, ConnectError>>;
    /// Waits.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;
    /// The time on a steady clock.
    fn now(&self) -> Duration;
    /// Milliseconds since 1970-01-01 UTC.
    fn unix_ms(&self) -> i64;
    /// Random bits that nobody can guess.
    fn random(&self) -> u64;
}

/// An open connection. Errors say why it is broken.
pub trait Stream {
    /// Sends all of the bytes.
    fn write(&mut self, bytes: Vec<u8>) -> impl Future<Output = Result<(), String>>;
    /// Waits for bytes, at least one, and appends them.
    fn read(&mut self, bytes: &mut Vec<u8>) -> impl Future<Output = Result<(), String>>;
}

/// Waits for `work`, but no longer than `limit`.
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
