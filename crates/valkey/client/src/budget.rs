//! Limits the size of the replies on a connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use valkey_codec::REPLIES_BYTES_MAX;

/// The number of calls in progress whose replies the budget allows for.
const CALLS_MAX: usize = 8;

/// The number of bytes that may be received between two completed calls: [`REPLIES_BYTES_MAX`] for
/// each call in progress, for at most [`CALLS_MAX`] of them. The library reads a reply of any size.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    calls: AtomicUsize,
    received: AtomicUsize,
    is_exceeded: AtomicBool,
}

impl Budget {
    /// Whether the connection was closed because the replies were too long. The library does not
    /// return the error of the stream.
    pub fn is_exceeded(&self) -> bool {
        self.is_exceeded.load(Ordering::Relaxed)
    }

    /// Registers a call, until the result is dropped or completed.
    pub fn call(&self) -> Call<'_> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Call(self)
    }

    fn receive(&self, bytes: usize) -> io::Result<()> {
        let received = self.received.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let calls = self.calls.load(Ordering::Relaxed).clamp(1, CALLS_MAX);
        if received <= calls * REPLIES_BYTES_MAX {
            return Ok(());
        }
        self.is_exceeded.store(true, Ordering::Relaxed);
        Err(io::Error::other("the replies are too long"))
    }
}

/// A call in progress.
pub(crate) struct Call<'a>(&'a Budget);

impl Call<'_> {
    /// Its replies were received, so the next calls have the whole budget again. A cancelled call
    /// does not change what was received, because its replies may not be complete.
    pub fn complete(self) {
        self.0.received.store(0, Ordering::Relaxed);
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that fails when the budget is exceeded.
pub(crate) struct Limited<S> {
    pub stream: S,
    pub budget: Arc<Budget>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Limited<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        Poll::Ready(self.budget.receive(buffer.filled().len().saturating_sub(before)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Limited<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_adds_to_the_budget_up_to_the_maximum() {
        for (calls, factor) in [(0, 1), (1, 1), (2, 2), (CALLS_MAX, CALLS_MAX), (1000, CALLS_MAX)] {
            let budget = Budget::default();
            let _calls: Vec<_> = (0..calls).map(|_| budget.call()).collect();
            assert!(budget.receive(factor * REPLIES_BYTES_MAX).is_ok(), "{calls} calls");
            assert!(!budget.is_exceeded(), "{calls} calls");
            assert!(budget.receive(1).is_err(), "{calls} calls");
            assert!(budget.is_exceeded(), "{calls} calls");
        }
    }

    #[test]
    fn only_a_completed_call_restores_the_budget() {
        let budget = Budget::default();
        let (completed, cancelled) = (budget.call(), budget.call());
        budget.receive(REPLIES_BYTES_MAX).unwrap();
        completed.complete();
        budget.receive(REPLIES_BYTES_MAX).unwrap();
        drop(cancelled);
        let _next = budget.call();
        assert!(budget.receive(1).is_err());
    }
}
