//! Faults of topics, and records that other programs write.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use fastrand::Rng;
use sale::Sale;

use super::fault::Fault;
use super::inject::{SHORT, hold};
use super::link::{Link, LinkState};
use super::texts::{self, FOREIGN, Text};
use super::topics::{Completion, Foreign};
use super::words;
use super::world::{FUNCTIONS, LETTERS, TOPIC, World};
use crate::in_time;

/// Times for which the topic does not exist, in seconds.
const TOPIC_GONE_S: [u64; 4] = [0, 3, 12, 35];
/// Number of sales, and of texts, that another program writes at once.
const FOREIGN_RECORDS: usize = 60;
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
                let no_texts = world.texts.pause().await;
                world.settle().await?;
                for function in &FUNCTIONS {
                    kafka.delete_topic(function.topic).await?;
                }
                world.texts.books().begin_log();
                world.set(Link::Clients, LinkState::Clear);
                let gone = TOPIC_GONE_S[random.usize(..TOPIC_GONE_S.len())];
                hold(Duration::from_secs(gone)).await;
                for function in &FUNCTIONS {
                    kafka.make_topic(function.topic, function.partitions).await?;
                }
                drop(no_texts);
                Ok(())
            }
            Self::LogExpired => {
                for function in &FUNCTIONS {
                    let counted = world.counted(function).await?;
                    kafka.delete_records(function.topic, &counted).await?;
                }
                Ok(())
            }
            Self::LettersGone => {
                let no_texts = world.texts.pause().await;
                for letters in [LETTERS, words::LETTERS] {
                    kafka.delete_topic(letters).await?;
                }
                world.forget_letters().await;
                // Until every broker knows that the topics are deleted: a letter could be lost.
                hold(SHORT).await;
                drop(no_texts);
                kafka.write_rubbish(TOPIC).await?;
                hold(SHORT).await;
                for letters in [LETTERS, words::LETTERS] {
                    kafka.make_topic(letters, 1).await?;
                }
                letter(world, 0).await
            }
            _ => {
                let before = kafka.ends(LETTERS, 1).await?.iter().sum();
                for letters in [LETTERS, words::LETTERS] {
                    kafka.limit_batches(letters, Some(NO_BATCH)).await?;
                }
                kafka.write_rubbish(TOPIC).await?;
                hold(SHORT).await;
                for letters in [LETTERS, words::LETTERS] {
                    kafka.limit_batches(letters, None).await?;
                }
                letter(world, before).await
            }
        }
    }

    /// Writes sales and texts. Returns the sales that must be counted.
    pub(super) async fn write_records(self, world: &World, random: &mut Rng) -> Result<Vec<Sale>> {
        let kafka = &world.kafka;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let now = i64::try_from(now)?;
        if self == Self::OddTimes {
            let times = PAST_MS.into_iter().chain([now + AHEAD_MS]).cycle().take(FOREIGN_RECORDS);
            let times: Vec<i64> = times.collect();
            let (sales, texts) = (new_sales(random, "odd"), new_texts(world));
            kafka.write(records(&sales, &texts, &times)).await?;
            enter(world, &texts, &times);
            return Ok(sales);
        }
        let mut count = Vec::new();
        for (name, open, completion) in [
            ("committed", Duration::ZERO, Completion::Commit),
            ("aborted", Duration::ZERO, Completion::Abort),
            ("late", SHORT, Completion::Commit),
        ] {
            let (sales, texts) = (new_sales(random, name), new_texts(world));
            let times = vec![now; FOREIGN_RECORDS];
            let records = records(&sales, &texts, &times);
            kafka.write_in_transaction(records, open, completion).await?;
            if completion == Completion::Commit {
                count.extend(sales);
                enter(world, &texts, &times);
            }
        }
        Ok(count)
    }
}

/// Sales with their own products.
fn new_sales(random: &mut Rng, name: &str) -> Vec<Sale> {
    let series = random.u64(..);
    let sale = |number| {
        let product_id = format!("{name}-{series}-{number}");
        Sale { category: random.i32(1..=5), product_id, price: 2.5, quantity: 2 }
    };
    (0..FOREIGN_RECORDS).map(sale).collect()
}

/// Texts of the partition that no other program writes to at the same time.
fn new_texts(world: &World) -> Vec<Text> {
    (0..FOREIGN_RECORDS).map(|_| world.texts.next(FOREIGN)).collect()
}

/// The records of the sales and of the texts, with these timestamps.
fn records(sales: &[Sale], texts: &[Text], times: &[i64]) -> Vec<Foreign> {
    let sales = sales.iter().zip(times).map(|(sale, timestamp_ms)| Foreign {
        topic: TOPIC,
        partition: None,
        key: sale.product_id.clone(),
        value: sale.to_json(),
        timestamp_ms: *timestamp_ms,
    });
    let texts = texts.iter().zip(times).map(|(text, timestamp_ms)| Foreign {
        topic: texts::TOPIC,
        partition: Some(FOREIGN),
        key: text.id.clone(),
        value: text.value().into_bytes(),
        timestamp_ms: *timestamp_ms,
    });
    sales.chain(texts).collect()
}

/// Adds the texts to the books.
fn enter(world: &World, texts: &[Text], times: &[i64]) {
    let mut books = world.texts.books();
    for (text, timestamp_ms) in texts.iter().zip(times) {
        // A record without a timestamp has -1.
        books.add(FOREIGN, text, Some(*timestamp_ms).filter(|timestamp| *timestamp >= 0));
    }
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
