//! Shared parts of the tests: a network on tokio, and a real broker.

pub mod gate;
pub mod network;

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use test_servers::{Kafka, WAIT_LIMIT};
use tokio::task::LocalSet;
use wasm_producer::{Config, OutgoingRecord, Producer};

use self::network::Tcp;

/// Runs a test whose calls are tasks of one thread, like those of a guest.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(LocalSet::new().run_until(within("the test's end", test)));
}

/// Waits for an event that must happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(WAIT_LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long for {what}"),
    }
}

/// Waits until the condition holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, holds).await;
}

/// A producer that lives until the test's process ends.
pub fn producer(config: Config) -> &'static Producer<Tcp> {
    Box::leak(Box::new(Producer::new(config, Tcp).unwrap()))
}

pub fn record(topic: &str, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> OutgoingRecord {
    OutgoingRecord {
        topic: topic.into(),
        key: Some(key.as_ref().into()),
        value: Some(value.as_ref().into()),
        ..OutgoingRecord::default()
    }
}

/// Creates a topic.
pub async fn create(kafka: &Kafka, topic: &str, partitions: usize, more: &[&str]) {
    let partitions = partitions.to_string();
    let args = ["--create", "--topic", topic, "--partitions", &partitions];
    let tool = "org.apache.kafka.tools.TopicCommand";
    kafka.tool(tool, &[&args[..], more].concat()).await.unwrap();
}

/// Reads this number of records with Java's console consumer: partition, offset, key and value of
/// each.
pub async fn consume(kafka: &Kafka, topic: &str, records: usize) -> Vec<Read> {
    let records = records.to_string();
    let args = [
        "--topic",
        topic,
        "--from-beginning",
        "--max-messages",
        &records,
        "--timeout-ms",
        "30000",
        "--formatter-property",
        "print.key=true",
        "--formatter-property",
        "print.partition=true",
        "--formatter-property",
        "print.offset=true",
    ];
    let tool = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    let printed = kafka.tool(tool, &args).await.unwrap();
    let field = |part: Option<&str>| part.unwrap().rsplit(':').next().unwrap().to_owned();
    let lines = printed.lines().map(|line| {
        let mut parts = line.split('\t');
        Read {
            partition: field(parts.next()).parse().unwrap(),
            offset: field(parts.next()).parse().unwrap(),
            key: parts.next().unwrap().into(),
            value: parts.next().unwrap().into(),
        }
    });
    lines.collect()
}

/// A record as Java's consumer read it.
#[derive(Debug)]
pub struct Read {
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub value: String,
}

/// The number of records in the topic.
pub async fn count(kafka: &Kafka, topic: &str) -> usize {
    let tool = "org.apache.kafka.tools.GetOffsetShell";
    let offsets = kafka.tool(tool, &["--topic", topic]).await.unwrap();
    offsets.lines().filter_map(|line| line.rsplit(':').next()?.parse::<usize>().ok()).sum()
}

/// Asserts that each value was read exactly once.
pub fn assert_once(read: &[Read], sent: impl Iterator<Item = String>) {
    let mut times: HashMap<&str, usize> = HashMap::new();
    read.iter().for_each(|read| *times.entry(&read.value).or_default() += 1);
    let mut records = 0;
    for value in sent {
        assert_eq!(times.get(value.as_str()), Some(&1), "{value}");
        records += 1;
    }
    assert_eq!(read.len(), records);
}
