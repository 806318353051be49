//! Runs an application until it ends, and drains it.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow};
use component_host::Host;
use futures::future::BoxFuture;
use kafka_trigger::ProducerCapability;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Consumers;
use crate::metrics_export::RunningExport;

/// Longest time from the stop until the end of the drain. With the second of the last metrics, the
/// second that tasks get after it ([`TASKS_LIMIT`](crate::shutdown::TASKS_LIMIT)) and the two of the
/// last traces it stays below the 30 seconds that Kubernetes grants.
const STOP_LIMIT: Duration = Duration::from_secs(24);

/// The share of the requests: new ones are accepted for a while, and then those in progress may
/// finish. The messages of Redis triggers are handled in the same time.
pub const REQUESTS_LIMIT: Duration = Duration::from_secs(10);

/// The share of the producer: time to acknowledge the records of requests that were cut off, and of
/// what components do after their answers. The rest, 10 seconds or more, is for the other triggers.
const FLUSH_LIMIT: Duration = Duration::from_secs(4);

/// What runs. The fields are dropped when the application has ended.
pub struct Running {
    /// Components call each other through the host, so it must live as long as any of them runs.
    pub _host: Option<Arc<Host>>,
    /// The HTTP server. It ends after `stop_serving` is cancelled, and returns whether all requests
    /// finished.
    pub server: JoinSet<bool>,
    pub stop_serving: CancellationToken,
    /// The operator port, which is served until the end.
    pub operators: JoinSet<io::Result<()>>,
    pub producer: Option<Arc<ProducerCapability>>,
    /// The Kafka and AMQP triggers.
    pub consumers: Consumers,
    /// The Redis triggers. Like the requests, their messages arrive once.
    pub subscriptions: Consumers,
    /// How long new requests are accepted after the stop; at most [`REQUESTS_LIMIT`].
    pub linger: Duration,
    /// The export of the metrics, which ends after everything that they count.
    pub metrics: Option<RunningExport>,
}

impl Running {
    /// Runs until `stop` resolves, a trigger fails, or a port ends unexpectedly. Then drains in the
    /// order of the data flow: first the requests and the messages of Redis, then the records of the
    /// producer, then the batches in flight. All of it ends within [`STOP_LIMIT`]. Then the last metrics
    /// are sent.
    pub async fn until(mut self, stop: BoxFuture<'_, ()>) -> Result<()> {
        let port = tokio::select! {
            () = stop => Ok(()),
            () = self.consumers.ended() => Ok(()),
            () = self.subscriptions.ended() => Ok(()),
            fault = ended(&mut self.server, "the HTTP server") => Err(fault),
            fault = ended(&mut self.operators, "the operator port") => Err(fault),
        };
        if let Err(fault) = &port {
            tracing::error!("{fault:#}; the program ends");
        }
        let begun = Instant::now();
        let (served, received) = tokio::join!(
            end_requests(self.server, self.stop_serving, self.linger),
            self.subscriptions.drain(begun + REQUESTS_LIMIT),
        );
        let flushed = match &self.producer {
            Some(producer) => producer.flush(FLUSH_LIMIT).await,
            None => Ok(()),
        };
        let drained = self.consumers.drain(begun + STOP_LIMIT).await;
        if let Some(metrics) = self.metrics {
            metrics.end().await;
        }
        port?;
        served?;
        received?;
        drained?;
        flushed.context("records of components were not acknowledged before the end")
    }
}

async fn end_requests(
    mut server: JoinSet<bool>,
    stop_serving: CancellationToken,
    linger: Duration,
) -> Result<()> {
    if !server.is_empty() {
        tokio::time::sleep(linger).await;
    }
    stop_serving.cancel();
    while let Some(ended) = server.join_next().await {
        if !ended.context("the HTTP server failed")? {
            tracing::warn!("requests were still in progress at the drain deadline");
        }
    }
    Ok(())
}

/// Resolves with the error when one of the tasks ends; never, if there are none.
async fn ended<T: 'static>(tasks: &mut JoinSet<T>, what: &str) -> Error {
    match tasks.join_next().await {
        Some(Ok(_)) => anyhow!("{what} has ended unexpectedly"),
        Some(Err(error)) => Error::new(error).context(format!("{what} failed")),
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn nothing() -> Running {
        Running {
            _host: None,
            server: JoinSet::new(),
            stop_serving: CancellationToken::new(),
            operators: JoinSet::new(),
            producer: None,
            consumers: Consumers::start(Vec::new(), Vec::new()),
            subscriptions: Consumers::subscribe(None),
            linger: Duration::ZERO,
            metrics: None,
        }
    }

    #[tokio::test]
    async fn the_end_of_a_port_ends_the_program_with_an_error() {
        let mut running = nothing();
        running.server.spawn(async { panic!("a fault of the server") });
        let fault = running.until(pending().boxed()).await.unwrap_err();
        assert!(format!("{fault:#}").starts_with("the HTTP server failed: "), "{fault:#}");

        let mut running = nothing();
        running.operators.spawn(async { Ok(()) });
        let stop_serving = running.stop_serving.clone();
        // A server that still drains.
        running.server.spawn(async move {
            stop_serving.cancelled().await;
            true
        });
        let fault = running.until(pending().boxed()).await.unwrap_err();
        assert_eq!(fault.to_string(), "the operator port has ended unexpectedly");
    }

    #[tokio::test]
    async fn a_stop_is_no_error() {
        let mut running = nothing();
        running.operators.spawn(pending());
        let stop_serving = running.stop_serving.clone();
        running.server.spawn(async move {
            stop_serving.cancelled().await;
            false
        });
        running.until(std::future::ready(()).boxed()).await.unwrap();
    }

    /// The shares of the requests and of the producer leave the triggers the time of their drain, and
    /// the waits of the programs after that still fit into the 30 seconds of Kubernetes.
    #[test]
    fn the_shares_fit_into_the_whole() {
        let drain = spin_kafka_trigger::Config::default().drain_deadline;
        // With time left to count the messages that were not handled.
        assert!(redis_trigger::limits::DRAIN_LIMIT < REQUESTS_LIMIT);
        let shares = REQUESTS_LIMIT + FLUSH_LIMIT + drain;
        assert!(shares <= STOP_LIMIT, "{shares:?}");
        let last = crate::metrics_export::LAST_METRICS_LIMIT + crate::telemetry::LAST_TRACES_LIMIT;
        let after = crate::shutdown::TASKS_LIMIT + last;
        assert!(STOP_LIMIT + after < Duration::from_secs(30));
    }
}
