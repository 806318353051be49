//! The messages of a server that wait, limited in number and size.

use std::sync::Arc;

use bytes::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A message that waits for its turn. Its size counts until it is dropped.
pub(crate) struct Waiting<C> {
    /// The channel that it was published on.
    pub channel: C,
    pub payload: Bytes,
    _size: OwnedSemaphorePermit,
}

/// Adds messages.
pub(crate) struct Entrance<C> {
    messages: Sender<Waiting<C>>,
    bytes: Arc<Semaphore>,
    waiting: Gauge,
}

/// Takes messages in the order in which they were added.
pub(crate) struct Exit<C> {
    messages: Receiver<Waiting<C>>,
    waiting: Gauge,
}

/// A queue with at most this number of messages. Together with those that were taken and not dropped,
/// they have at most `bytes_max` bytes. `waiting` counts them.
pub(crate) fn queue<C>(
    messages_max: usize,
    bytes_max: usize,
    waiting: Gauge,
) -> (Entrance<C>, Exit<C>) {
    let (sender, receiver) = channel(messages_max);
    let bytes = Arc::new(Semaphore::new(bytes_max));
    let entrance = Entrance { messages: sender, bytes, waiting: waiting.clone() };
    (entrance, Exit { messages: receiver, waiting })
}

impl<C> Entrance<C> {
    /// Adds a message. Returns whether there was room for it.
    pub fn offer(&self, channel: C, payload: Bytes) -> bool {
        let Ok(bytes) = u32::try_from(payload.len()) else { return false };
        let Ok(size) = self.bytes.clone().try_acquire_many_owned(bytes) else { return false };
        // Counted before it is added, because it may be taken at once.
        self.waiting.inc();
        let is_added = self.messages.try_send(Waiting { channel, payload, _size: size }).is_ok();
        if !is_added {
            self.waiting.dec();
        }
        is_added
    }
}

impl<C> Exit<C> {
    /// Waits for the next message. None when the entrance was dropped and no message is left.
    pub async fn next(&mut self) -> Option<Waiting<C>> {
        let next = self.messages.recv().await;
        if next.is_some() {
            self.waiting.dec();
        }
        next
    }

    /// Takes a message that waits. None when no message is left.
    pub fn take(&mut self) -> Option<Waiting<C>> {
        let next = self.messages.try_recv().ok()?;
        self.waiting.dec();
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(bytes: usize) -> Bytes {
        vec![b'x'; bytes].into()
    }

    #[tokio::test]
    async fn the_number_and_the_size_are_limited() {
        let waiting = Gauge::default();
        let (entrance, mut exit) = queue(3, 10, waiting.clone());
        assert!(entrance.offer(0, payload(4)) && entrance.offer(1, payload(6)));
        assert!(!entrance.offer(2, payload(1)), "the size");
        assert!(entrance.offer(3, payload(0)));
        assert!(!entrance.offer(4, payload(0)), "the number");
        assert_eq!(waiting.get(), 3);
        // What is in progress has a size, too.
        let first = exit.next().await.unwrap();
        assert!(!entrance.offer(5, payload(1)));
        drop(first);
        assert!(entrance.offer(6, payload(4)));
        drop(entrance);
        let mut left = Vec::new();
        while let Some(message) = exit.next().await {
            left.push(message.channel);
            left.extend(exit.take().map(|message| message.channel));
        }
        assert!(exit.take().is_none());
        assert_eq!((left, waiting.get()), (vec![1, 3, 6], 0));
    }
}
