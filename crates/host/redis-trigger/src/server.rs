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
use crate::queue::{Entrance, Exit, Waiting, queue};
use crate::recipient::Recipient;
use crate::report::{Report, shortened};

/// A server, and what is subscribed to there.
pub(crate) struct Server<R> {
    pub name: Arc<str>,
    pub subscription: Subscription,
    /// By name.
    pub channels: BTreeMap<Vec<u8>, Arc<Channel<R>>>,
    pub metrics: ServerMetrics,
    /// Whether the channels are subscribed to at this moment.
    pub is_subscribed: Arc<AtomicBool>,
}

/// A channel and the components that get its messages.
pub(crate) struct Channel<R> {
    pub name: String,
    pub recipients: Vec<R>,
    pub metrics: ChannelMetrics,
    /// The messages that were dropped for each reason, with the length of the last one.
    pub drops: [Report<u64>; DropReason::ALL.len()],
}

impl<R> Channel<R> {
    /// Logs the messages that were dropped since the last call.
    pub fn log_drops(&self, server: &str) {
        for (reason, report) in DropReason::ALL.into_iter().zip(&self.drops) {
            if let Some((messages, bytes)) = report.take() {
                tracing::warn!(
                    server,
                    channel = self.name,
                    messages,
                    reason = reason.name(),
                    bytes,
                    "messages were dropped"
                );
            }
        }
    }

    /// Counts a message that was dropped. It is logged later.
    fn drop_message(&self, reason: DropReason, bytes: u64) {
        self.metrics.drop_message(reason);
        if let Some(report) = self.drops.get(reason as usize) {
            report.add(bytes);
        }
    }
}

/// An open subscription, from its confirmation until it is dropped.
struct Open<'a>(&'a AtomicBool, &'a ServerMetrics);

impl<'a> Open<'a> {
    fn new<R>(server: &'a Server<R>) -> Self {
        server.metrics.connected.inc();
        server.is_subscribed.store(true, Ordering::Relaxed);
        Self(&server.is_subscribed, &server.metrics)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.1.connected.dec();
        self.0.store(false, Ordering::Relaxed);
    }
}

impl<R: Recipient> Server<R> {
    /// Receives messages until `stop` is cancelled, then handles those that wait within [`DRAIN_LIMIT`].
    pub async fn run(self, stop: CancellationToken) -> Result<(), JoinError> {
        let (entrance, exit) =
            queue(MESSAGES_MAX, MESSAGES_BYTES_MAX, self.metrics.waiting.clone());
        let mut handling = Handling::start(exit);
        tokio::select! {
            () = stop.cancelled() => {}
            never = self.receive(&entrance) => match never {},
            ended = &mut handling => return ended,
        }
        drop(entrance);
        drain(handling).await
    }

    /// Receives messages, and connects again whenever that ends.
    async fn receive(&self, entrance: &Entrance<Arc<Channel<R>>>) -> Infallible {
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
                reason = shortened(&reason.to_string()),
                pause_ms = pause.as_millis(),
                "not subscribed; messages are lost until the next connection"
            );
            sleep(pause).await;
        }
    }

    /// Adds a message to those that wait, or drops it.
    fn pass_on(&self, received: Received, entrance: &Entrance<Arc<Channel<R>>>) {
        // The server sends no message of another channel.
        let Some(channel) = self.channels.get(&received.channel) else { return };
        channel.metrics.messages.inc();
        match received.payload {
            Err(bytes) => channel.drop_message(DropReason::TooLong, bytes),
            Ok(payload) => {
                let bytes = payload.len() as u64;
                if !entrance.offer(channel.clone(), payload.into()) {
                    channel.drop_message(DropReason::QueueFull, bytes);
                }
            }
        }
    }
}

/// Waits until the messages that wait are handled. Those that are left after [`DRAIN_LIMIT`] are dropped.
async fn drain(mut handling: AbortOnDropHandle<()>) -> Result<(), JoinError> {
    if let Ok(ended) = timeout(DRAIN_LIMIT, &mut handling).await {
        return ended;
    }
    handling.abort();
    match handling.await {
        Err(error) if error.is_cancelled() => Ok(()),
        ended => ended,
    }
}

/// Handles the messages one after the other. When it is dropped, those that are not handled count as
/// dropped.
struct Handling<R> {
    exit: Exit<Arc<Channel<R>>>,
    current: Option<Waiting<Arc<Channel<R>>>>,
}

impl<R: Recipient> Handling<R> {
    /// Starts a task that ends when the queue is closed and empty. It is a task of its own, because what
    /// a component computes must not delay the reception.
    fn start(exit: Exit<Arc<Channel<R>>>) -> AbortOnDropHandle<()> {
        let handling = Self { exit, current: None };
        AbortOnDropHandle::new(tokio::spawn(handling.run()))
    }

    async fn run(mut self) {
        while let Some(message) = self.exit.next().await {
            let Waiting { channel, payload, .. } = self.current.insert(message);
            let recipients = channel.recipients.iter();
            let calls = recipients.map(|recipient| recipient.handle(&channel.name, payload));
            // All components of the channel get the message at the same time.
            join_all(calls).await;
            self.current = None;
        }
    }
}

impl<R> Drop for Handling<R> {
    fn drop(&mut self) {
        let current = self.current.take();
        for message in current.into_iter().chain(std::iter::from_fn(|| self.exit.take())) {
            let bytes = message.payload.len() as u64;
            message.channel.drop_message(DropReason::Stopped, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Semaphore;
    use valkey_codec::Servers;

    use super::*;
    use crate::metrics::Metrics;

    /// Notes the messages that begin, and ends one for each permit.
    #[derive(Clone)]
    struct Probe {
        name: &'static str,
        begun: Arc<Mutex<Vec<String>>>,
        may_end: Arc<Semaphore>,
    }

    impl Recipient for Probe {
        async fn handle(&self, channel: &str, payload: &[u8]) {
            let text = String::from_utf8_lossy(payload);
            self.begun.lock().unwrap().push(format!("{}: {channel} {text}", self.name));
            self.may_end.acquire().await.unwrap().forget();
        }
    }

    /// A server with the channels `x` and `y` of both recipients, and `z` of the second one.
    struct Setup {
        server: Server<Probe>,
        probes: [Probe; 2],
        metrics: Metrics,
    }

    impl Setup {
        fn new() -> Self {
            let begun = Arc::<Mutex<Vec<String>>>::default();
            let probe =
                |name| Probe { name, begun: begun.clone(), may_end: Arc::new(Semaphore::new(0)) };
            let (probes, metrics) = (["a", "b"].map(probe), Metrics::default());
            let channel = |name: &str, recipients: &[Probe]| {
                let channel = Channel {
                    name: name.into(),
                    recipients: recipients.to_vec(),
                    metrics: metrics.channel("h:1", name),
                    drops: Default::default(),
                };
                (name.as_bytes().to_vec(), Arc::new(channel))
            };
            let channels =
                [channel("x", &probes), channel("y", &probes), channel("z", &probes[1..])];
            let servers = Servers::parse("redis://127.0.0.1:1").unwrap();
            let server = Server {
                name: "h:1".into(),
                subscription: Subscription::new(servers, vec!["x".into()], 100).unwrap(),
                channels: channels.into_iter().collect(),
                metrics: metrics.server("h:1"),
                is_subscribed: Arc::default(),
            };
            Self { server, probes, metrics }
        }

        fn queue(
            &self,
            messages_max: usize,
        ) -> (Entrance<Arc<Channel<Probe>>>, AbortOnDropHandle<()>) {
            let (entrance, exit) = queue(messages_max, 100, self.server.metrics.waiting.clone());
            (entrance, Handling::start(exit))
        }

        fn pass_on(&self, entrance: &Entrance<Arc<Channel<Probe>>>, channel: &str, text: &str) {
            let payload = Ok(text.as_bytes().to_vec());
            self.server.pass_on(Received { channel: channel.into(), payload }, entrance);
        }

        /// What has begun when every task waits.
        async fn begun(&self) -> Vec<String> {
            // The clock is paused, so it advances only when every task waits.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            std::mem::take(&mut *self.probes[0].begun.lock().unwrap())
        }

        fn dropped(&self, channel: &str, reason: DropReason) -> u64 {
            self.metrics.channel("h:1", channel).dropped(reason)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_components_get_a_message_at_the_same_time_and_the_next_one_waits_for_all() {
        let setup = Setup::new();
        let (entrance, handling) = setup.queue(10);
        for (channel, text) in [("x", "1"), ("z", "2"), ("y", "3")] {
            setup.pass_on(&entrance, channel, text);
        }
        let [a, b] = &setup.probes;
        assert_eq!(setup.begun().await, ["a: x 1", "b: x 1"]);
        a.may_end.add_permits(1);
        assert!(setup.begun().await.is_empty(), "the other component has not ended");
        b.may_end.add_permits(1);
        assert_eq!(setup.begun().await, ["b: z 2"]);
        b.may_end.add_permits(1);
        assert_eq!(setup.begun().await, ["a: y 3", "b: y 3"]);
        a.may_end.add_permits(1);
        b.may_end.add_permits(1);
        drop(entrance);
        handling.await.unwrap();
        assert_eq!(setup.dropped("y", DropReason::Stopped), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn messages_that_do_not_fit_are_dropped_and_counted() {
        let setup = Setup::new();
        let (entrance, _handling) = setup.queue(2);
        setup.pass_on(&entrance, "x", "1");
        assert_eq!(setup.begun().await.len(), 2);
        // Two may wait, and 100 bytes may be here.
        setup.pass_on(&entrance, "x", &"2".repeat(99));
        setup.pass_on(&entrance, "x", "3");
        setup.pass_on(&entrance, "y", "");
        setup.pass_on(&entrance, "x", "");
        let too_long = Received { channel: b"y".into(), payload: Err(101) };
        setup.server.pass_on(too_long, &entrance);
        setup.pass_on(&entrance, "unknown", "");
        let [x, y] = ["x", "y"].map(|name| setup.server.channels.get(name.as_bytes()).unwrap());
        assert_eq!((x.metrics.messages.get(), y.metrics.messages.get()), (4, 2));
        assert_eq!(setup.server.metrics.waiting.get(), 2);
        let expected = [("x", DropReason::QueueFull, 2), ("y", DropReason::TooLong, 1)];
        for (channel, reason, count) in expected {
            assert_eq!(setup.dropped(channel, reason), count, "{channel}");
        }
        assert_eq!(y.drops[DropReason::TooLong as usize].take(), Some((1, 101)));
        assert_eq!(x.drops[DropReason::QueueFull as usize].take(), Some((2, 0)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_drain_ends_at_its_limit_and_the_rest_is_counted() {
        for is_cut_off in [false, true] {
            let setup = Setup::new();
            let (entrance, handling) = setup.queue(10);
            for channel in ["x", "x", "y"] {
                setup.pass_on(&entrance, channel, "1");
            }
            assert_eq!(setup.begun().await.len(), 2);
            drop(entrance);
            if is_cut_off {
                drop(handling);
                tokio::task::yield_now().await;
            } else {
                let begun = Instant::now();
                drain(handling).await.unwrap();
                assert_eq!(begun.elapsed().as_secs(), DRAIN_LIMIT.as_secs());
            }
            let dropped = ["x", "y"].map(|channel| setup.dropped(channel, DropReason::Stopped));
            assert_eq!(dropped, [2, 1], "{is_cut_off}");
            assert_eq!(setup.server.metrics.waiting.get(), 0);
        }
    }
}
