//! Faults of topics, and records that other programs write.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use fastrand::Rng;
use sale::Sale;

use super::fault::Fault;
use super::inject::{SHORT, hold};
use super::link::{Link, LinkState};
use super::topics::{Completion, Foreign};
use super::world::{LETTERS, PARTITIONS, TOPIC, World};
use crate::in_time;

/// Times for which the topic does not exist, in seconds.
const TOPIC_GONE_S: [u64; 4] = [0, 3, 12, 35];
/// Number of sales that another program writes at once.
const FOREIGN_SALES: usize = 60;
/// Timestamps of records, in ms since 1970: none, 1 ms after the epoch, and 1990.
const PAST_MS: [i64; 3] = [-1, 1, 631_152_000_000];
/// How far a timestamp is in the future, in ms. A broker accepts up to an hour.
const AHEAD_MS: i64 = 3_000_000;
/// A size that every batch exceeds, in bytes.
const NO_BATCH: &str = "1";

impl Fault {
    pub(super) async fn inject_topics(self, world: &mut World, random: &mut Rng) -> Result<()> {
        let kafka = &world.kafka;
        match self {
            Self::TopicAgain => {
                // Records that are not counted yet would be lost together with the topic.
                world.set(Link::Clients, LinkState::Cut);
                hold(SHORT).await;
                world.settle().await?;
                kafka.delete_topic(TOPIC).await?;
                world.set(Link::Clients, LinkState::Clear);
                let gone = TOPIC_GONE_S[random.usize(..TOPIC_GONE_S.len())];
                hold(Duration::from_secs(gone)).await;
                kafka.make_topic(TOPIC, PARTITIONS).await
            }
            Self::LogExpired => kafka.delete_records(TOPIC, &world.counted().await?).await,
            Self::LettersGone => {
                kafka.delete_topic(LETTERS).await?;
                kafka.write_rubbish(TOPIC).await?;
                hold(SHORT).await;
                kafka.make_topic(LETTERS, 1).await?;
                letter(world, 0).await
            }
            _ => {
                let before = kafka.ends(LETTERS, 1).await?.iter().sum();
                kafka.limit_batches(LETTERS, Some(NO_BATCH)).await?;
                kafka.write_rubbish(TOPIC).await?;
                hold(SHORT).await;
                kafka.limit_batches(LETTERS, None).await?;
                letter(world, before).await
            }
        }
    }

    /// Returns the sales that must be counted.
    pub(super) async fn write_sales(self, world: &World, random: &mut Rng) -> Result<Vec<Sale>> {
        let kafka = &world.kafka;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let now = i64::try_from(now)?;
        if self == Self::OddTimes {
            let times = PAST_MS.into_iter().chain([now + AHEAD_MS]);
            let sales = sales(random, "odd", times.cycle());
            let count = sales.iter().map(|foreign| foreign.sale.clone()).collect();
            kafka.write(TOPIC, sales).await?;
            return Ok(count);
        }
        let mut count = Vec::new();
        for (name, open, completion) in [
            ("committed", Duration::ZERO, Completion::Commit),
            ("aborted", Duration::ZERO, Completion::Abort),
            ("late", SHORT, Completion::Commit),
        ] {
            let sales = sales(random, name, std::iter::repeat(now));
            if completion == Completion::Commit {
                count.extend(sales.iter().map(|foreign| foreign.sale.clone()));
            }
            kafka.write_in_transaction(TOPIC, sales, open, completion).await?;
        }
        Ok(count)
    }
}

/// Sales with their own products.
fn sales(random: &mut Rng, name: &str, times: impl Iterator<Item = i64>) -> Vec<Foreign> {
    let series = random.u64(..);
    times
        .take(FOREIGN_SALES)
        .enumerate()
        .map(|(number, timestamp_ms)| {
            let product_id = format!("{name}-{series}-{number}");
            let sale = Sale { category: random.i32(1..=5), product_id, price: 2.5, quantity: 2 };
            Foreign { sale, timestamp_ms }
        })
        .collect()
}

/// Waits until there are more letters than before.
async fn letter(world: &World, before: i64) -> Result<()> {
    in_time("the dead letter is written", async || {
        let ends = world.kafka.ends(LETTERS, 1).await.ok()?;
        (ends.iter().sum::<i64>() > before).then_some(())
    })
    .await?;
    Ok(())
}
