//! Fills topics with backlogs.

use std::collections::VecDeque;

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

/// If there are repetitions, one of this many records is one.
const REPEATED: u64 = 20;

/// A repetition repeats one of this many latest records. The aggregator remembers many more.
const RECENT: usize = 10_000;

/// What is written.
#[derive(Debug, Clone, Copy)]
pub struct Backlog {
    /// Number of records.
    pub sales: u64,
    /// Number of different products in all categories together, if there are as many sales and no
    /// repetitions.
    pub products: u32,
    /// Whether some records repeat earlier ones, with the same idempotency key.
    pub has_repetitions: bool,
}

impl Default for Backlog {
    /// As many products as the load generator has.
    fn default() -> Self {
        Self { sales: 0, products: 200, has_repetitions: false }
    }
}

/// Writes sales in the same format as the pipeline: one of each product, then random ones. Passes
/// each of them that is no repetition to `each`.
pub async fn fill(
    brokers: &str,
    topic: &str,
    backlog: Backlog,
    mut each: impl FnMut(&Sale),
) -> Result<()> {
    tracing::info!(topic, ?backlog, "filling");
    let producer = Producer::new(ProducerConfig::new(brokers))?;
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut recent: VecDeque<OutgoingRecord> = VecDeque::new();
    let mut next = |number| {
        if backlog.has_repetitions && number % REPEATED == REPEATED - 1 {
            let earlier = random.usize(..recent.len().max(1));
            if let Some(record) = recent.get(earlier) {
                return record.clone();
            }
        }
        let sale = sale(number, backlog.products, &mut random);
        each(&sale);
        let record = record(topic, number, sale);
        if backlog.has_repetitions {
            recent.push_back(record.clone());
            if recent.len() > RECENT {
                recent.pop_front();
            }
        }
        record
    };
    let chunks = (0..backlog.sales).step_by(CHUNK as usize).map(|first| {
        let last = backlog.sales.min(first + CHUNK);
        (first..last).map(&mut next).collect::<Vec<_>>()
    });
    stream::iter(chunks)
        .map(|records| producer.send(records))
        .buffered(CHUNKS_IN_FLIGHT)
        .try_for_each(|_| async { Ok(()) })
        .await
        .with_context(|| format!("cannot fill topic `{topic}`"))
}

fn sale(number: u64, products: u32, random: &mut fastrand::Rng) -> Sale {
    // Each product occurs at least once, so that their number is exact.
    let product = match u32::try_from(number) {
        Ok(number) if number < products => number,
        _ => random.u32(0..products),
    };
    let category = product % CATEGORIES + 1;
    Sale {
        category: category.cast_signed(),
        product_id: format!("p{category}-{}", product / CATEGORIES),
        price: f64::from(random.u32(1..=200_000)) / 100.0,
        quantity: random.i32(1..=10),
    }
}

fn record(topic: &str, number: u64, sale: Sale) -> OutgoingRecord {
    let key = format!("{SEED}-bench-{number}");
    OutgoingRecord {
        topic: topic.into(),
        value: Some(sale.to_json()),
        key: Some(sale.product_id.into_bytes()),
        headers: vec![Header { name: "idempotency-key".into(), value: Some(key.into_bytes()) }],
        ..OutgoingRecord::default()
    }
}
