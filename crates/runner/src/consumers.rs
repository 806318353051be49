//! The Kafka triggers of an application while they run.

use anyhow::{Context as _, Result};
use spin_kafka_trigger::Summary;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use trigger_kafka::{Error, KafkaTrigger};

type Ended = Result<Result<Summary, Error>, JoinError>;

/// Kafka triggers that consume until they are told to drain, or until one fails.
pub struct Consumers {
    running: JoinSet<Result<Summary, Error>>,
    stop: CancellationToken,
    first: Option<Ended>,
}

impl Consumers {
    /// Starts them.
    pub fn start(triggers: Vec<KafkaTrigger>) -> Self {
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        for trigger in triggers {
            running.spawn(trigger.run(stop.clone().cancelled_owned()));
        }
        Self { running, stop, first: None }
    }

    /// Returns when one has ended that nobody told to; never without any.
    pub async fn ended(&mut self) {
        match self.running.join_next().await {
            Some(ended) => self.first = Some(ended),
            None => std::future::pending().await,
        }
    }

    /// Lets the batches in flight end and leaves the groups. Fails if one failed.
    pub async fn drain(mut self) -> Result<()> {
        self.stop.cancel();
        let mut ended: Vec<Ended> = self.first.into_iter().collect();
        while let Some(task) = self.running.join_next().await {
            ended.push(task);
        }
        let mut first = Ok(());
        for ended in ended {
            match ended.context("a Kafka trigger failed").and_then(|ended| Ok(ended?)) {
                Ok(summary) => tracing::info!(?summary, "Kafka trigger drained"),
                Err(error) if first.is_ok() => first = Err(error),
                Err(error) => tracing::error!("{error:#}"),
            }
        }
        first
    }
}
