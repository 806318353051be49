//! What all measurements share: the servers, fresh topics, and the order of the turns.

use std::fmt::Display;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;

use crate::args::Args;
use crate::contender::Contender;
use crate::deployment::Deployment;
use crate::load::Load;
use crate::meter::Meter;
use crate::results::{Figures, Sample};
use crate::servers::Servers;

/// The same number of partitions that `doorbuster up` creates.
pub const PARTITIONS: i32 = 3;

/// Load before a measurement, which warms up the caches of the contender, in seconds.
pub const WARM_UP_SECONDS: u64 = 2;

/// Maximum time for a reply of Valkey, which may be deleting millions of keys or be stalled by the
/// load.
pub const VALKEY_TIMEOUT: Duration = Duration::from_secs(30);

/// The state of the measurements.
pub struct Bench {
    /// The arguments.
    pub args: Args,
    /// Kafka and Valkey.
    pub servers: Servers,
    topics: AtomicU32,
}

impl Bench {
    /// Starts the servers.
    pub async fn start(args: Args) -> Result<Self> {
        Ok(Self { args, servers: Servers::start().await?, topics: AtomicU32::new(0) })
    }

    /// Stops the servers.
    pub async fn stop(self) -> Result<()> {
        self.servers.stop().await
    }

    /// Creates a topic, and returns its name.
    pub async fn topic(&self, partitions: i32) -> Result<String> {
        let topic = format!("bench-{}", self.topics.fetch_add(1, Ordering::Relaxed));
        let config = ProducerConfig::new(self.servers.brokers());
        ensure_topic(&config, NewTopic::new(&topic, partitions)).await?;
        Ok(topic)
    }

    /// A connection to Valkey.
    pub async fn valkey(&self) -> Result<MultiplexedConnection> {
        let client = redis::Client::open(self.servers.valkey.url())?;
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(VALKEY_TIMEOUT));
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        connection.context("cannot connect to Valkey")
    }

    /// Deletes everything in Valkey, and returns a connection to it.
    pub async fn empty_valkey(&self) -> Result<MultiplexedConnection> {
        let mut valkey = self.valkey().await?;
        let () = redis::cmd("FLUSHALL").query_async(&mut valkey).await?;
        Ok(valkey)
    }

    /// Those of the contenders that were requested.
    pub fn requested(&self, contenders: &[Contender]) -> Result<Vec<Contender>> {
        let names = &self.args.contenders;
        let mut requested = contenders.to_vec();
        requested.retain(|it| names.is_empty() || names.contains(&it.to_string()));
        ensure!(!requested.is_empty(), "none of the contenders is one of {names:?}");
        Ok(requested)
    }

    /// All turns: each contender once in every round. See [`order`].
    pub async fn rounds<C: Copy + Display>(
        &self,
        name: &str,
        contenders: &[C],
        turn: impl AsyncFn(C, u32) -> Result<Vec<Sample>>,
    ) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for round in 1..=self.args.rounds {
            for contender in order(contenders, round) {
                tracing::info!(round, of = self.args.rounds, %contender, "{name}");
                let turn = turn(contender, round).await;
                samples.extend(turn.with_context(|| format!("{name}, {contender}"))?);
            }
        }
        Ok(samples)
    }

    /// A load on a running contender, after a short one that warms it up: throughput, latencies,
    /// failures, CPU time of all processes, and the contender's memory at the end.
    pub async fn load(&self, deployment: &Deployment, load: Load) -> Result<Figures> {
        let warm_up = Load { seconds: WARM_UP_SECONDS.min(load.seconds), ..load };
        warm_up.run_with_failures().await?;
        let meter = Meter::start(deployment, &self.servers)?;
        let summary = load.run_with_failures().await?;
        ensure!(summary.accepted > 0, "no request was accepted: {:?}", summary.failed);
        if !summary.failed.is_empty() {
            tracing::warn!(failed = ?summary.failed, ?load, "requests were not accepted");
        }
        let mut figures = summary.figures();
        figures.extend(meter.per_100_000(summary.accepted)?);
        figures.insert("memory_mib".into(), deployment.memory_mib()?);
        Ok(figures)
    }
}

/// The order of the turns of a round. Each round begins with the next contender, and every second
/// one is in the opposite direction, so that none of them is always first or always follows the same
/// one.
pub fn order<C: Copy>(contenders: &[C], round: u32) -> Vec<C> {
    let mut order = contenders.to_vec();
    order.rotate_left((round as usize - 1) % contenders.len());
    if round.is_multiple_of(2)
        && let [_, others @ ..] = order.as_mut_slice()
    {
        others.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn rounds_begin_with_another_contender_and_change_direction() {
        let orders = [1, 2, 3, 4].map(|round| order(&["a", "b", "c"], round).concat());
        assert_eq!(orders, ["abc", "bac", "cab", "acb"]);
    }
}
