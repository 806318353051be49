//! The Kafka triggers of an application while they run.

use anyhow::{Context as _, Result};
use kafka_trigger::{Error, KafkaTrigger};
use spin_kafka_trigger::Summary;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

type Ended = Result<Result<Summary, Error>, JoinError>;

/// Kafka triggers that consume until they are drained, or until one of them fails.
pub struct Consumers {
    running: JoinSet<Result<Summary, Error>>,
    stop: CancellationToken,
    first: Option<Ended>,
}

impl Consumers {
    /// Starts the triggers.
    pub fn start(triggers: Vec<KafkaTrigger>) -> Self {
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        for trigger in triggers {
            running.spawn(trigger.run(stop.clone().cancelled_owned()));
        }
        Self { running, stop, first: None }
    }

    /// Resolves when a trigger has ended without a request; never, if there are no triggers.
    pub async fn ended(&mut self) {
        match self.running.join_next().await {
            Some(ended) => self.first = Some(ended),
            None => std::future::pending().await,
        }
    }

    /// Drains the triggers: batches in flight finish, and the groups are left. Triggers that have
    /// not ended at `deadline` are dropped, and their batches are delivered again later. Fails if a
    /// trigger failed.
    pub async fn drain(mut self, deadline: Instant) -> Result<()> {
        self.stop.cancel();
        let mut first = Ok(());
        if let Some(ended) = self.first.take() {
            log_end(ended, &mut first);
        }
        loop {
            match timeout_at(deadline, self.running.join_next()).await {
                Ok(Some(ended)) => log_end(ended, &mut first),
                Ok(None) => return first,
                Err(_) => {
                    let triggers = self.running.len();
                    tracing::warn!(triggers, "Kafka triggers did not drain in time");
                    return first;
                }
            }
        }
    }
}

/// Logs how a trigger ended, and keeps the first error.
fn log_end(ended: Ended, first: &mut Result<()>) {
    match ended.context("a Kafka trigger failed").and_then(|ended| Ok(ended?)) {
        Ok(summary) => tracing::info!(?summary, "Kafka trigger drained"),
        Err(error) if first.is_ok() => *first = Err(error),
        Err(error) => tracing::error!("{error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_the_drain() {
        let mut consumers = Consumers::start(Vec::new());
        consumers.running.spawn(pending());
        consumers.drain(Instant::now()).await.unwrap();
    }

    #[tokio::test]
    async fn an_error_is_returned_although_another_trigger_does_not_drain() {
        let mut consumers = Consumers::start(Vec::new());
        consumers.running.spawn(async { panic!("a fault of the trigger") });
        consumers.ended().await;
        consumers.running.spawn(pending());
        let fault = consumers.drain(Instant::now()).await.unwrap_err();
        assert!(format!("{fault:#}").starts_with("a Kafka trigger failed: "), "{fault:#}");
    }
}
