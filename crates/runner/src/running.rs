//! An application while it runs, and how it ends.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow};
use component_host::Host;
use futures::future::BoxFuture;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trigger_kafka::ProducerCapability;

use crate::Consumers;

/// Longest time from the stop until the end. With the second that tasks get after it
/// ([`TASKS_LIMIT`](crate::shutdown::TASKS_LIMIT)) and the two of the last traces it stays below
/// the 30 seconds that Kubernetes gives.
const STOP_LIMIT: Duration = Duration::from_secs(24);

/// The requests' share: new ones are taken for a while, then those under way may end.
pub const REQUESTS_LIMIT: Duration = Duration::from_secs(10);

/// The producer's share: records of requests that were broken off get to be acknowledged. What
/// is left, 10 seconds or more, belongs to the Kafka triggers.
const FLUSH_LIMIT: Duration = Duration::from_secs(4);

/// What runs. Each field is dropped once the application has ended.
pub struct Running {
    /// Components find each other through the host: it lives as long as any of them runs.
    pub _host: Option<Arc<Host>>,
    /// The HTTP server; it ends after `stop_serving`, and tells whether all requests did.
    pub server: JoinSet<bool>,
    pub stop_serving: CancellationToken,
    /// The operators' ports, which are served until the end.
    pub operators: JoinSet<io::Result<()>>,
    pub producer: Option<Arc<ProducerCapability>>,
    pub consumers: Consumers,
    /// How long new requests are taken after the stop; at most [`REQUESTS_LIMIT`].
    pub linger: Duration,
}

impl Running {
    /// Runs until `stop`, a fault of a trigger, or the end of a port that nobody stopped; then
    /// drains in the data's order: no new requests, then what the producer still holds, then the
    /// batches in flight. All of it ends within [`STOP_LIMIT`].
    pub async fn until(mut self, stop: BoxFuture<'_, ()>) -> Result<()> {
        let port = tokio::select! {
            () = stop => Ok(()),
            () = self.consumers.ended() => Ok(()),
            fault = ended(&mut self.server, "the HTTP server") => Err(fault),
            fault = ended(&mut self.operators, "an operators' port") => Err(fault),
        };
        if let Err(fault) = &port {
            tracing::error!("{fault:#}; the program ends");
        }
        let deadline = Instant::now() + STOP_LIMIT;
        let served = self.end_requests().await;
        let flushed = match &self.producer {
            Some(producer) => producer.flush(FLUSH_LIMIT).await,
            None => Ok(()),
        };
        let drained = self.consumers.drain(deadline).await;
        port?;
        served?;
        drained?;
        flushed.context("accepted records were not acknowledged before the end")
    }

    async fn end_requests(&mut self) -> Result<()> {
        if !self.server.is_empty() {
            tokio::time::sleep(self.linger).await;
        }
        self.stop_serving.cancel();
        while let Some(ended) = self.server.join_next().await {
            if !ended.context("the HTTP server failed")? {
                tracing::warn!("requests were still under way at the drain deadline");
            }
        }
        Ok(())
    }
}

/// Resolves with the fault when one of the tasks ends; never, if there is none.
async fn ended<T: 'static>(tasks: &mut JoinSet<T>, what: &str) -> Error {
    match tasks.join_next().await {
        Some(Ok(_)) => anyhow!("{what} has ended by itself"),
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
            consumers: Consumers::start(Vec::new()),
            linger: Duration::ZERO,
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
        // The server still drains.
        running.server.spawn(async move {
            stop_serving.cancelled().await;
            true
        });
        let fault = running.until(pending().boxed()).await.unwrap_err();
        assert_eq!(fault.to_string(), "an operators' port has ended by itself");
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

    /// The shares of requests and producer leave the triggers their `drain_deadline_ms`, and what
    /// the programs wait for afterwards still fits into the 30 seconds of Kubernetes.
    #[test]
    fn the_shares_fit_into_the_whole() {
        let drain = spin_kafka_trigger::Config::default().drain_deadline_ms;
        let shares = REQUESTS_LIMIT + FLUSH_LIMIT + Duration::from_millis(drain);
        assert!(shares <= STOP_LIMIT, "{shares:?}");
        let after = crate::shutdown::TASKS_LIMIT + crate::telemetry::LAST_TRACES_LIMIT;
        assert!(STOP_LIMIT + after < Duration::from_secs(30));
    }
}
