//! The dead letters of the texts.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use test_servers::WAIT_LIMIT;

use super::kafka::Kafka;
use super::words::LETTERS;

/// The letters that were read so far.
#[derive(Default)]
pub struct Letters {
    next: i64,
    /// The ids of the texts in them.
    pub ids: BTreeSet<String>,
}

impl Letters {
    /// Reads the letters that are new, without the proxies.
    pub async fn read(&mut self, kafka: &Kafka) -> Result<()> {
        let end = kafka.ends(LETTERS, 1).await?[0];
        let (brokers, begin) = (kafka.cluster.unproxied(), self.next);
        if begin < end {
            let reading = tokio::task::spawn_blocking(move || read(&brokers, begin, end));
            self.ids.extend(reading.await??);
            self.next = end;
        }
        Ok(())
    }
}

fn read(brokers: &str, begin: i64, end: i64) -> Result<Vec<String>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "letters");
    let consumer: BaseConsumer = config.create()?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(LETTERS, 0, Offset::Offset(begin))?;
    consumer.assign(&from)?;
    let (mut ids, begun) = (Vec::new(), Instant::now());
    loop {
        ensure!(begun.elapsed() < WAIT_LIMIT, "the dead letters {begin} to {end} cannot be read");
        let Some(Ok(letter)) = consumer.poll(Duration::from_millis(500)) else { continue };
        // Not from the value: if it is too large for the topic, the letter is written without it.
        ids.push(String::from_utf8_lossy(letter.key().unwrap_or_default()).into_owned());
        if letter.offset() + 1 >= end {
            return Ok(ids);
        }
    }
}
