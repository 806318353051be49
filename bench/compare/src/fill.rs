//! Fills topics with backlogs.

use anyhow::{Context as _, Result};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use host_producer::{Header, OutgoingRecord, Producer, ProducerConfig};
use sale::Sale;

/// Number of records that are sent together, and number of such groups in flight.
const CHUNK: u64 = 1_000;
const CHUNKS_IN_FLIGHT: usize = 16;

/// The seed is fixed, so that the sales are the same in every run.
const SEED: u64 = 1;

/// The categories.
const CATEGORIES: u32 = 4;

/// What is written.
#[derive(Debug, Clone, Copy)]
pub struct Backlog {
    /// Number of sales.
    pub sales: u64,
    /// Number of different products in all categories together, if there are as many sales.
    pub products: u32,
}

impl Default for Backlog {
    /// As many products as the load generator has.
    fn default() -> Self {
        Self { sales: 0, products: 200 }
    }
}

/// Writes sales in the same format as the pipeline: one of each product, then random ones.
pub async fn fill(brokers: &str, topic: &str, backlog: Backlog) -> Result<()> {
    let Backlog { sales, products } = backlog;
    tracing::info!(topic, sales, products, "filling");
    let producer = Producer::new(ProducerConfig::new(brokers))?;
    let mut random = fastrand::Rng::with_seed(SEED);
    let chunks = (0..sales).step_by(CHUNK as usize).map(|first| {
        let last = sales.min(first + CHUNK);
        (first..last).map(|number| record(topic, number, products, &mut random)).collect::<Vec<_>>()
    });
    stream::iter(chunks)
        .map(|records| producer.send(records))
        .buffered(CHUNKS_IN_FLIGHT)
        .try_for_each(|_| async { Ok(()) })
        .await
        .with_context(|| format!("cannot fill topic `{topic}`"))
}

fn record(topic: &str, number: u64, products: u32, random: &mut fastrand::Rng) -> OutgoingRecord {
    // Each product occurs at least once, so that their number is exact.
    let product = match u32::try_from(number) {
        Ok(number) if number < products => number,
        _ => random.u32(0..products),
    };
    let category = product % CATEGORIES + 1;
    let sale = Sale {
        category: category.cast_signed(),
        product_id: format!("p{category}-{}", product / CATEGORIES),
        price: f64::from(random.u32(1..=200_000)) / 100.0,
        quantity: random.i32(1..=10),
    };
    let key = format!("{SEED}-bench-{number}");
    OutgoingRecord {
        topic: topic.into(),
        value: Some(sale.to_json()),
        key: Some(sale.product_id.into_bytes()),
        headers: vec![Header { name: "idempotency-key".into(), value: Some(key.into_bytes()) }],
        ..OutgoingRecord::default()
    }
}
