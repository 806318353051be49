//! The Kafka, AMQP and Redis triggers of an application while they run.

use amqp_trigger::AmqpTrigger;
use anyhow::{Context as _, Result};
use kafka_trigger::KafkaTrigger;
use redis_trigger::RedisTrigger;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

type Ended = Result<Result<()>, JoinError>;

/// Triggers that consume until they are drained, or until one of them fails.
pub struct Consumers {
    running: JoinSet<Result<()>>,
    stop: CancellationToken,
    first: Option<Ended>,
}

impl Consumers {
    /// Starts the Kafka and AMQP triggers.
    pub fn start(kafka: Vec<KafkaTrigger>, amqp: Vec<AmqpTrigger>) -> Self {
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        for trigger in kafka {
            let ended = trigger.run(stop.clone().cancelled_owned());
            running.spawn(async {
                let summary = ended.await?;
                tracing::info!(?summary, "Kafka trigger drained");
                Ok(())
            });
        }
        for trigger in amqp {
            let ended = trigger.run(stop.clone().cancelled_owned());
            running.spawn(async {
                let summary = ended.await?;
                tracing::info!(?summary, "AMQP trigger drained");
                Ok(())
            });
        }
        Self { running, stop, first: None }
    }

    /// Starts the Redis triggers.
    pub fn subscribe(trigger: Option<RedisTrigger>) -> Self {
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        if let Some(trigger) = trigger {
            let ended = trigger.run(stop.clone().cancelled_owned());
            running.spawn(async {
                ended.await?;
                tracing::info!("Redis trigger drained");
                Ok(())
            });
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

    /// Drains the triggers: batches in flight and messages that wait are finished, and the groups are
    /// left. Triggers that have not ended at `deadline` are dropped, and their batches are delivered
    /// again later. Fails if a trigger failed.
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
                    tracing::warn!(triggers, "triggers did not drain in time");
                    return first;
                }
            }
        }
    }
}

/// Keeps the first error, and logs the others.
fn log_end(ended: Ended, first: &mut Result<()>) {
    match ended.context("a trigger failed").flatten() {
        Ok(()) => {}
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
        let mut consumers = Consumers::start(Vec::new(), Vec::new());
        consumers.running.spawn(pending());
        consumers.drain(Instant::now()).await.unwrap();
    }

    #[tokio::test]
    async fn an_error_is_returned_although_another_trigger_does_not_drain() {
        let mut consumers = Consumers::start(Vec::new(), Vec::new());
        consumers.running.spawn(async { panic!("a fault of the trigger") });
        consumers.ended().await;
        consumers.running.spawn(pending());
        let fault = consumers.drain(Instant::now()).await.unwrap_err();
        assert!(format!("{fault:#}").starts_with("a trigger failed: "), "{fault:#}");
    }
}
