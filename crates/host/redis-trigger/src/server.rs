//! The subscription to one server: receives messages, connects again, and passes the messages on.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use spin_kafka_trigger::source::Backoff;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use valkey_client::{Received, Subscription};

use crate::limits::{BACKOFF, BACKOFF_MAX, DRAIN_LIMIT, MESSAGES_BYTES_MAX, MESSAGES_MAX};
use crate::metrics::{ChannelMetrics, DropReason, ServerMetrics};
use crate::queue::{Entrance, Exit, queue};
use crate::recipient::Recipient;
use crate::report::Report;

/// A server, and what is subscribed to there.
pub(crate) struct Server {
    pub name: Arc<str>,
    pub subscription: Subscription,
    /// By name.
    pub channels: BTreeMap<Vec<u8>, Arc<Channel>>,
    pub metrics: ServerMetrics,
    /// Whether the channels are subscribed to at this moment.
    pub is_subscribed: Arc<AtomicBool>,
    pub drops: Report,
}

/// A channel and the components that get its messages.
pub(crate) struct Channel {
    pub name: String,
    pub recipients: Vec<Recipient>,
    pub metrics: ChannelMetrics,
}

/// An open subscription, from its confirmation until it is dropped.
struct Open<'a>(&'a Server);

impl<'a> Open<'a> {
    fn new(server: &'a Server) -> Self {
        server.metrics.connected.inc();
        server.is_subscribed.store(true, Ordering::Relaxed);
        Self(server)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.metrics.connected.dec();
        self.0.is_subscribed.store(false, Ordering::Relaxed);
    }
}

impl Server {
    /// Receives messages until `stop` is cancelled, then handles those that wait within [`DRAIN_LIMIT`].
    pub async fn run(self, stop: CancellationToken) -> Result<(), JoinError> {
        let (entrance, exit) =
            queue(MESSAGES_MAX, MESSAGES_BYTES_MAX, self.metrics.waiting.clone());
        let give_up = CancellationToken::new();
        // A task of its own: what a component computes must not delay the reception.
        let handling = tokio::spawn(handle_all(self.name.clone(), exit, give_up.clone()));
        let mut handling = AbortOnDropHandle::new(handling);
        tokio::select! {
            () = stop.cancelled() => {}
            never = self.receive(&entrance) => match never {},
            ended = &mut handling => return ended,
        }
        drop(entrance);
        if let Ok(ended) = timeout(DRAIN_LIMIT, &mut handling).await {
            return ended;
        }
        give_up.cancel();
        handling.await
    }

    /// Receives messages, and connects again whenever that ends.
    async fn receive(&self, entrance: &Entrance<Arc<Channel>>) -> Infallible {
        let backoff = || Backoff::new(BACKOFF, BACKOFF_MAX);
        let mut pauses = backoff();
        loop {
            let reason = match self.subscription.open().await {
                Err(error) => error,
                Ok(mut subscriber) => {
                    let begun = Instant::now();
                    let open = Open::new(self);
                    tracing::info!(server = &*self.name, "subscribed to the channels");
                    let reason = loop {
                        match subscriber.next().await {
                            Ok(received) => self.pass_on(received, entrance),
                            Err(error) => break error,
                        }
                    };
                    drop(open);
                    if begun.elapsed() > BACKOFF_MAX {
                        pauses = backoff();
                    }
                    reason
                }
            };
            self.metrics.lost_connections.inc();
            let pause = pauses.next_pause();
            tracing::warn!(
                server = &*self.name,
                reason = %reason,
                pause_ms = pause.as_millis(),
                "not subscribed; messages are lost until the next connection"
            );
            sleep(pause).await;
        }
    }

    /// Adds a message to those that wait, or drops it.
    fn pass_on(&self, received: Received, entrance: &Entrance<Arc<Channel>>) {
        // The server sends no message of another channel.
        let Some(channel) = self.channels.get(&received.channel) else { return };
        channel.metrics.messages.inc();
        let (reason, bytes) = match received.payload {
            Err(bytes) => (DropReason::TooLong, bytes),
            Ok(payload) => {
                let bytes = payload.len() as u64;
                if entrance.offer(channel.clone(), payload.into()) {
                    return;
                }
                (DropReason::QueueFull, bytes)
            }
        };
        channel.metrics.drop_message(reason);
        if let Some(messages) = self.drops.occurrences() {
            tracing::warn!(
                server = &*self.name,
                channel = channel.name,
                messages,
                reason = reason.name(),
                bytes,
                "messages were dropped"
            );
        }
    }
}

/// Handles the messages one after the other, until the queue is closed and empty. After `give_up` is
/// cancelled, they are dropped.
async fn handle_all(server: Arc<str>, mut exit: Exit<Arc<Channel>>, give_up: CancellationToken) {
    let mut dropped = 0_u64;
    while let Some(message) = exit.next().await {
        let channel = &message.channel;
        let (name, payload) = (&channel.name, &message.payload);
        let calls = channel.recipients.iter().map(|recipient| recipient.handle(name, payload));
        tokio::select! {
            biased;
            () = give_up.cancelled() => {
                channel.metrics.drop_message(DropReason::Stopped);
                dropped += 1;
            }
            // All components of the channel get the message at the same time.
            _ = join_all(calls) => {}
        }
    }
    if dropped > 0 {
        tracing::warn!(
            server = &*server,
            messages = dropped,
            reason = DropReason::Stopped.name(),
            "messages were dropped at the drain deadline"
        );
    }
}
