//! Measures how fast a backlog is drained: by the engine with a handler that does nothing, and by a
//! plain consumer that polls. Starts its own Kafka broker.
//!
//! `cargo run --release -p spin-kafka-trigger --example drain [RECORDS]`
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use spin_kafka_trigger::{Batch, Config, Failure, Handler, Position, Rejection, Trigger};
use test_servers::{Kafka, KafkaConfig};
use tokio_util::sync::CancellationToken;

const TOPIC: &str = "drain";
const PARTITIONS: i32 = 3;
const ROUNDS: u32 = 4;
const VALUE: &str =
    r#"{"categoria":1,"producto_id":"product-00042","precio":199.99,"cantidad_vendida":3}"#;

#[tokio::main]
async fn main() -> Result<()> {
    let records = std::env::args().nth(1).map_or(Ok(2_000_000), |records| records.parse())?;
    let kafka = Kafka::start(KafkaConfig { tuned: true, ..KafkaConfig::default() }).await?;
    let brokers = kafka.bootstrap();
    let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(1));
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &brokers).create()?;
    admin.create_topics([&topic], &AdminOptions::new()).await?;
    tokio::task::block_in_place(|| produce(&brokers, records))?;
    for round in 0..ROUNDS {
        let bare =
            tokio::task::block_in_place(|| poll(&brokers, &format!("bare-{round}"), records))?;
        report("bare consumer", records, bare);
        report("engine", records, drain(&brokers, &format!("engine-{round}"), records).await?);
    }
    kafka.stop().await
}

fn report(what: &str, records: u64, took: Duration) {
    println!("{what:>14}: {:>9.0} records/s", records as f64 / took.as_secs_f64());
}

fn produce(brokers: &str, records: u64) -> Result<()> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .create()?;
    for number in 0..records {
        let key = number.to_string();
        let mut sent = producer.send(BaseRecord::to(TOPIC).key(&key).payload(VALUE));
        while let Err((_, record)) = sent {
            producer.poll(Duration::from_millis(10));
            sent = producer.send(record);
        }
    }
    Ok(producer.flush(Duration::from_secs(60))?)
}

/// The time from the first record to the last, so that joining the group is not measured.
fn poll(brokers: &str, group: &str, records: u64) -> Result<Duration> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("fetch.queue.backoff.ms", "5")
        .create()?;
    consumer.subscribe(&[TOPIC])?;
    let (mut read, mut started) = (0, None);
    while read < records {
        if let Some(record) = consumer.poll(Duration::from_secs(1)) {
            std::hint::black_box(record?.detach());
            started.get_or_insert_with(Instant::now);
            read += 1;
        }
    }
    Ok(started.map_or(Duration::ZERO, |started| started.elapsed()))
}

struct Count {
    left: AtomicU64,
    started: std::sync::OnceLock<Instant>,
    done: CancellationToken,
}

struct Counter(Arc<Count>);

impl Handler for Counter {
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        self.0.started.get_or_init(Instant::now);
        let records = batch.records.len() as u64;
        if self.0.left.fetch_sub(records, Ordering::Relaxed) <= records {
            self.0.done.cancel();
        }
        Ok(Vec::new())
    }

    async fn position(&self, _: &str, _: &str, _: &str, _: i32) -> Result<Position, Failure> {
        Ok(Position::Start)
    }
}

async fn drain(brokers: &str, group: &str, records: u64) -> Result<Duration> {
    let count = Arc::new(Count {
        left: AtomicU64::new(records),
        started: std::sync::OnceLock::new(),
        done: CancellationToken::new(),
    });
    let config = Config::new(brokers, [TOPIC], group);
    let ended = Arc::new(std::sync::OnceLock::new());
    let shutdown = {
        let (done, ended) = (count.done.clone(), ended.clone());
        async move {
            done.cancelled().await;
            ended.get_or_init(Instant::now);
        }
    };
    let summary = Trigger::run(config, Counter(count.clone()), shutdown).await?;
    ensure!(summary.records == records, "{} records, not {records}", summary.records);
    println!("                {} records a batch", summary.records / summary.batches);
    let (Some(started), Some(ended)) = (count.started.get(), ended.get()) else {
        anyhow::bail!("nothing was read");
    };
    Ok(*ended - *started)
}
