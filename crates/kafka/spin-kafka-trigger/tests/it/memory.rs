//! How much memory a large lag takes.

use std::time::Duration;

use crate::support::cluster::{brokers, create_topic};
use crate::support::{WAIT_LIMIT, config, member};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::json;
use spin_kafka_trigger::{Batch, Failure, Handler, Position, Rejection, Trigger};

const TOPIC: &str = "lag";
const PARTITIONS: i32 = 12;
const RECORDS: i64 = 5_000_000;
const BYTES: usize = 100;
/// Sufficient for two of the twelve partitions.
const MEMORY_BYTES_MAX: usize = 64 << 20;
const QUEUE_BYTES_MAX: usize = 4 << 20;

/// Delays the first batches, so that the queues fill, and no others.
struct Count;

impl Handler for Count {
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        if batch.start < 20_000 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Vec::new())
    }

    async fn position(&self, _: &str, _: &str, _: &str, _: i32) -> Result<Position, Failure> {
        Ok(Position::Committed)
    }
}

fn fill(brokers: &str) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "50")
        .set("compression.codec", "none")
        .create()
        .unwrap();
    let value: Vec<u8> = (0..BYTES).map(|_| fastrand::alphanumeric() as u8).collect();
    for number in 0..RECORDS {
        let partition = (number % i64::from(PARTITIONS)) as i32;
        let record = BaseRecord::<(), _>::to(TOPIC).partition(partition).payload(&value);
        let mut sent = producer.send(record);
        while let Err((_, record)) = sent {
            producer.poll(Duration::from_millis(10));
            sent = producer.send(record);
        }
    }
    producer.flush(WAIT_LIMIT).unwrap();
}

/// A number of `/proc/self/status`, in bytes.
fn status(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn five_million_records_of_lag_stay_within_the_setting() {
    if let Some(settings) = member::settings() {
        return one_reader(settings, TOPIC, RECORDS).await;
    }
    let brokers = brokers();
    create_topic(&brokers, TOPIC, PARTITIONS).await;
    let filled = brokers.clone();
    tokio::task::spawn_blocking(move || fill(&filled)).await.unwrap();
    measure("memory::five_million_records_of_lag_stay_within_the_setting", &brokers).await;
}

/// Records that have only headers, each of them empty.
const HEADERS_TOPIC: &str = "lag-of-headers";
const HEADER_RECORDS: i64 = 500;
const HEADERS: usize = 20_000;

fn fill_headers(brokers: &str) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let header = || Header { key: "", value: None::<&[u8]> };
    let headers = (0..HEADERS).fold(OwnedHeaders::new(), |all, _| all.insert(header()));
    for _ in 0..HEADER_RECORDS {
        let record = BaseRecord::<(), ()>::to(HEADERS_TOPIC).headers(headers.clone());
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.poll(Duration::ZERO);
    }
    producer.flush(WAIT_LIMIT).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_million_empty_headers_stay_within_the_setting() {
    if let Some(settings) = member::settings() {
        return one_reader(settings, HEADERS_TOPIC, HEADER_RECORDS).await;
    }
    let brokers = brokers();
    create_topic(&brokers, HEADERS_TOPIC, 1).await;
    let filled = brokers.clone();
    tokio::task::spawn_blocking(move || fill_headers(&filled)).await.unwrap();
    measure("memory::ten_million_empty_headers_stay_within_the_setting", &brokers).await;
}

/// Runs the test again as a reader in a separate process.
async fn measure(test: &str, brokers: &str) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut child = member::start(test, &json!({ "brokers": brokers }), log.path());
    let status = tokio::time::timeout(WAIT_LIMIT, child.wait()).await;
    let log_text = std::fs::read_to_string(log.path()).unwrap();
    assert!(status.unwrap().unwrap().success(), "{log_text}");
    println!("{}", log_text.lines().find(|line| line.contains("bytes")).unwrap());
}

/// Reads everything in a separate process, and compares its memory with the setting.
#[allow(clippy::print_stderr, reason = "the test that started this one reads it")]
async fn one_reader(settings: serde_json::Value, topic: &str, records: i64) {
    let config = config(settings["brokers"].as_str().unwrap(), topic)
        .memory_bytes_max(MEMORY_BYTES_MAX)
        .queue_bytes_max(QUEUE_BYTES_MAX);
    let trigger = Trigger::new(config, Count).unwrap();
    let metrics = trigger.metrics();
    let before = status("RssAnon");
    let mut peak = before;
    let all = async {
        while metrics.records.get() < records as u64 {
            peak = peak.max(status("RssAnon"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let summary = trigger.until(all).await.unwrap();
    let grown = peak - before;
    eprintln!(
        "{records} records of lag took {grown} bytes at most; memory_bytes_max is {MEMORY_BYTES_MAX}"
    );
    assert_eq!(summary.records, records as u64);
    assert!(grown <= MEMORY_BYTES_MAX, "{grown}");
}
