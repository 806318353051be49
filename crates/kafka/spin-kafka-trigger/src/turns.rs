//! Limits how many partitions are read at once; if there are more, they take turns.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

/// The shortest turn while other partitions wait. Each turn begins with a new fetch.
const TURN: Duration = Duration::from_millis(500);

/// The permits for partitions that are read at once. The partition that has waited longest is next.
pub(crate) struct Turns {
    permits: Arc<Semaphore>,
    waiting: watch::Sender<usize>,
}

impl Turns {
    pub fn new(partitions: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(partitions)), waiting: watch::Sender::new(0) }
    }

    /// Waits for a turn.
    pub async fn take(&self) -> Turn {
        let permits = self.permits.clone();
        let permit = match permits.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                let _waiting = Waiting::new(&self.waiting);
                // The semaphore is never closed.
                permits.acquire_owned().await.ok()
            }
        };
        Turn { _permit: permit, waiting: self.waiting.subscribe(), ends: Instant::now() + TURN }
    }
}

struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|count| *count += 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// A partition's turn. When it is dropped, another partition can begin.
pub(crate) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
    waiting: watch::Receiver<usize>,
    ends: Instant,
}

impl Turn {
    /// Whether another partition is waiting and this turn has lasted long enough.
    pub fn is_over(&self) -> bool {
        *self.waiting.borrow() > 0 && Instant::now() >= self.ends
    }

    /// Resolves when the turn is over; never, if no other partition is waiting.
    pub async fn over(&self) {
        tokio::time::sleep_until(self.ends).await;
        // The sender is owned by the engine, which outlives its partitions.
        if self.waiting.clone().wait_for(|count| *count > 0).await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_turn_ends_only_when_another_waits() {
        let turns = Arc::new(Turns::new(1));
        let first = turns.take().await;
        let alone = tokio::time::timeout(TURN * 100, first.over()).await;
        assert!(alone.is_err() && !first.is_over());

        let waiting = turns.clone();
        let second = tokio::spawn(async move { waiting.take().await });
        first.over().await;
        assert!(first.is_over());
        drop(first);
        let second = second.await.unwrap();
        assert!(!second.is_over(), "no other partition waits");
    }
}
