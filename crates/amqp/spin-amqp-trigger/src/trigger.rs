//! Connects, reads, and connects again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use amqp_client::{Address, REGULAR_CLOSE};
use lapin::Connection;
use lapin::types::ShortString;
use spin_kafka_trigger::source::{Backoff, SourceEngine};
use spin_kafka_trigger::{Handler, Metrics, Progress, Summary};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::held::Held;
use crate::letters::Letters;
use crate::queue::{Fault, check_queue};
use crate::session::{Session, SessionEnd, pause};
use crate::{Config, Error};

/// How long closing a connection may take. Messages that are not acknowledged are delivered again
/// when the broker notices its end.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// A trigger that is ready to run.
pub struct Trigger {
    config: Config,
    address: Address,
    engine: SourceEngine,
    letters: Arc<Letters>,
    held: Arc<Held>,
}

impl fmt::Debug for Trigger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Trigger").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Trigger {
    /// Creates a trigger without starting it. Fails if the settings are invalid. Must be called
    /// within a tokio runtime.
    pub fn new<H: Handler>(config: Config, handler: H) -> Result<Self, Error> {
        let address = config.validate()?;
        let held = Arc::new(Held::default());
        let letters = Arc::new(Letters::new(
            &config.dead_letter_exchange,
            &config.letter_routing_key(),
            config.group.clone(),
            held.clone(),
        ));
        let queue = config.queue.as_str();
        let engine = SourceEngine::new(config.engine(), queue, handler, letters.clone())?;
        engine.set_unanswered();
        Ok(Self { config, address, engine, letters, held })
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The address of the broker and its virtual host, without the password.
    pub fn address(&self) -> &str {
        self.address.public()
    }

    /// The metrics: those of the Kafka consumer engine. They can be read while the trigger runs and
    /// after it has ended.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.engine.metrics()
    }

    /// The progress. The topic is the queue, and the lag is the number of messages in it.
    pub fn progress(&self) -> Arc<Progress> {
        self.engine.progress()
    }

    /// Reads the queue until `shutdown` resolves, then drains: it waits for the batch in flight until
    /// the drain deadline, acknowledges what was applied, and closes the connection. An error means
    /// that the trigger had to stop earlier; it has drained in that case, too.
    pub async fn until(self, shutdown: impl Future<Output = ()>) -> Result<Summary, Error> {
        let stop = CancellationToken::new();
        let stopping = async {
            shutdown.await;
            stop.cancel();
            std::future::pending().await
        };
        tokio::select! {
            ended = self.run(&stop) => ended,
            never = stopping => never,
        }
    }

    async fn run(&self, stop: &CancellationToken) -> Result<Summary, Error> {
        let backoff = || Backoff::new(self.config.retry_backoff, self.config.retry_backoff_max);
        let mut pauses = backoff();
        while !stop.is_cancelled() {
            let begun = Instant::now();
            let (end, closed) = self.connect_and_read(stop).await;
            let reason = match end {
                SessionEnd::Stopped => return Ok(self.engine.summary(closed)),
                SessionEnd::Failed(error) => return Err(error.into()),
                SessionEnd::Lost(reason) => reason,
            };
            if stop.is_cancelled() {
                break;
            }
            self.engine.metrics().rebalances.inc();
            if begun.elapsed() > self.config.retry_backoff_max {
                pauses = backoff();
            }
            let next = pauses.next_pause();
            tracing::warn!(
                queue = self.config.queue,
                broker = self.address.public(),
                reason,
                pause_ms = next.as_millis(),
                "the queue is not read; connecting again"
            );
            pause(stop, next).await;
        }
        Ok(self.engine.summary(false))
    }

    /// Reads the queue on a new connection. Returns why that ended, and whether the connection was
    /// closed in time.
    async fn connect_and_read(&self, stop: &CancellationToken) -> (SessionEnd, bool) {
        let name = format!("spin-amqp-trigger {}", self.config.queue);
        let connection = tokio::select! {
            () = stop.cancelled() => return (SessionEnd::Stopped, true),
            connected = self.address.connect(&name) => match connected {
                Ok(connection) => connection,
                Err(error) => return (self.report(Fault::Broker(error.reason)), false),
            }
        };
        if let Err(fault) = check_queue(&connection, &self.config.queue).await {
            return (self.report(fault), false);
        }
        self.letters.set_connection(Some(connection.clone())).await;
        let (config, engine) = (&self.config, &self.engine);
        let end = match Session::begin(config, engine, &connection, &self.held, stop).await {
            Ok(session) => {
                let broker = self.address.public();
                tracing::info!(queue = config.queue, %broker, "reading the queue");
                session.run().await
            }
            Err(end) => end,
        };
        if matches!(end, SessionEnd::Lost(_)) {
            engine.set_unanswered();
        }
        self.letters.set_connection(None).await;
        let closed = matches!(end, SessionEnd::Stopped) && close(&connection).await;
        (end, closed)
    }

    fn report(&self, fault: Fault) -> SessionEnd {
        match fault {
            Fault::Broker(reason) => {
                self.engine.set_unanswered();
                SessionEnd::Lost(reason)
            }
            Fault::NoQueue(reason) => {
                self.engine.set_missing();
                SessionEnd::Lost(reason)
            }
        }
    }
}

/// Closes the connection. Returns whether the broker has answered in time.
async fn close(connection: &Connection) -> bool {
    let closed = connection.close(REGULAR_CLOSE, ShortString::default());
    let reason = match timeout(CLOSE_LIMIT, closed).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer for {} s", CLOSE_LIMIT.as_secs()),
    };
    tracing::warn!(reason, "the connection was not closed; the broker notices its end later");
    false
}
