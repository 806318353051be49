//! Measures how many records a second are acknowledged: with calls of one record each from many
//! tasks, like those of a server, and with calls of many records. Starts its own Kafka broker.
//!
//! `cargo run --release -p host-producer --example throughput`
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use host_producer::{NewTopic, OutgoingRecord, Producer, ProducerConfig, ensure_topic};
use test_servers::{Kafka, KafkaConfig};
use tokio::task::JoinSet;

const TOPIC: &str = "throughput";
const VALUE: &str =
    r#"{"categoria":1,"producto_id":"product-00042","precio":199.99,"cantidad_vendida":3}"#;
const TIME: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<()> {
    let kafka = Kafka::start(KafkaConfig { tuned: true, ..KafkaConfig::default() }).await?;
    let config = ProducerConfig::new(kafka.bootstrap());
    ensure_topic(&config, NewTopic::new(TOPIC, 3)).await?;
    let producer = Producer::new(config)?;
    producer.send(vec![record(0)]).await.context("the first record")?;
    for (tasks, records) in [(1, 1), (50, 1), (200, 1), (1_000, 1), (4, 1_000)] {
        let rate = measure(&producer, tasks, records).await?;
        println!("{tasks:>5} tasks, {records:>5} records a call: {rate:>8.0} records/s");
    }
    producer.flush(TIME).await?;
    kafka.stop().await
}

async fn measure(producer: &Producer, tasks: usize, records: usize) -> Result<f64> {
    let (started, before) = (Instant::now(), producer.metrics().delivered.get());
    let mut running = JoinSet::new();
    for task in 0..tasks {
        let producer = producer.clone();
        running.spawn(async move {
            while started.elapsed() < TIME {
                producer.send((0..records).map(|number| record(task + number)).collect()).await?;
            }
            Ok::<_, host_producer::ProduceError>(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    let delivered = producer.metrics().delivered.get() - before;
    Ok(delivered as f64 / started.elapsed().as_secs_f64())
}

fn record(number: usize) -> OutgoingRecord {
    OutgoingRecord {
        topic: TOPIC.into(),
        key: Some(format!("product-{:05}", number % 500).into_bytes()),
        value: Some(VALUE.into()),
        ..OutgoingRecord::default()
    }
}
