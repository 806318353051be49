//! Fills the topic for the drain.

use anyhow::{Context as _, Result};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use host_producer::{Header, NewTopic, OutgoingRecord, Producer, ProducerConfig, ensure_topic};
use sale::Sale;

use crate::accept::PARTITIONS;

/// Number of records that are sent together, and number of such groups in flight.
const CHUNK: u64 = 1_000;
const CHUNKS_IN_FLIGHT: usize = 16;

/// The seed is fixed, so that the sales are the same in every run.
const SEED: u64 = 1;

/// Number of different products in each category, like that of the load generator.
const PRODUCTS: u32 = 50;

/// Writes random sales in the same format as the pipeline.
pub async fn fill(brokers: &str, topic: &str, sales: u64) -> Result<()> {
    ensure_topic(&ProducerConfig::new(brokers), NewTopic::new(topic, PARTITIONS)).await?;
    let producer = Producer::new(ProducerConfig::new(brokers))?;
    let mut random = fastrand::Rng::with_seed(SEED);
    let chunks = (0..sales).step_by(CHUNK as usize).map(|first| {
        let last = sales.min(first + CHUNK);
        (first..last).map(|number| record(topic, number, &mut random)).collect::<Vec<_>>()
    });
    stream::iter(chunks)
        .map(|records| producer.send(records))
        .buffered(CHUNKS_IN_FLIGHT)
        .try_for_each(|_| async { Ok(()) })
        .await
        .with_context(|| format!("cannot fill topic `{topic}`"))
}

fn record(topic: &str, number: u64, random: &mut fastrand::Rng) -> OutgoingRecord {
    let category = random.i32(1..=4);
    let sale = Sale {
        category,
        product_id: format!("p{category}-{}", random.u32(0..PRODUCTS)),
        price: f64::from(random.u32(1..=200_000)) / 100.0,
        quantity: random.i32(1..=10),
    };
    let key = format!("{SEED}-bench-{number}");
    OutgoingRecord {
        topic: topic.into(),
        value: Some(sale.to_json()),
        key: Some(sale.product_id.into_bytes()),
        headers: vec![Header { name: "idempotency-key".into(), value: Some(key.into_bytes()) }],
    }
}
