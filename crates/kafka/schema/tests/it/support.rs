//! A topic, schemas, and a consumer with a handler that keeps what it got.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kafka_schema::{Metrics, SchemaConfig, SchemaHandler};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Headers as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use serde_json::{Value, json};
use spin_kafka_trigger::{Batch, Config, Error, Failure, Handler, Rejection, Trigger};
use spin_kafka_trigger::{Metrics as EngineMetrics, Summary, headers};
use test_servers::WAIT_LIMIT;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Waits until the condition holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(WAIT_LIMIT, waiting).await;
    waited.unwrap_or_else(|_| panic!("waited too long for {what}"));
}

/// Registers a schema and returns its id. Each reference has the name in the schema, and the subject
/// of the schema that it refers to, of which the first version is used.
pub async fn register(
    registry: &str,
    subject: &str,
    kind: &str,
    schema: impl ToString,
    references: &[(&str, &str)],
) -> u32 {
    let reference =
        |(name, subject): &(&str, &str)| json!({"name": name, "subject": subject, "version": 1});
    let references: Vec<Value> = references.iter().map(reference).collect();
    let body = json!({"schemaType": kind, "schema": schema.to_string(), "references": references});
    let url = format!("{registry}/subjects/{subject}/versions");
    let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
    let answer = answer.text().await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert!(answer["id"].is_u64(), "{subject}: {answer}");
    u32::try_from(answer["id"].as_u64().unwrap()).unwrap()
}

/// A value in Confluent's wire format.
pub fn framed(id: u32, payload: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], payload].concat()
}

/// Creates a topic with two partitions, and its dead-letter topic with one.
pub async fn create_topics(brokers: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let letters = format!("{topic}.dead-letter");
    let new = |name, partitions| NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(WAIT_LIMIT));
    let topics = [new(topic, 2), new(&letters, 1)];
    for created in admin.create_topics(&topics, &options).await.unwrap() {
        created.unwrap();
    }
}

/// Writes records with these values to a partition.
pub async fn write(brokers: &str, topic: &str, partition: i32, values: &[Option<Vec<u8>>]) {
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    for value in values {
        let record = FutureRecord::<(), [u8]> {
            payload: value.as_deref(),
            ..FutureRecord::to(topic).partition(partition)
        };
        producer.send(record, WAIT_LIMIT).await.unwrap();
    }
}

/// A dead letter: the value, the class, and the reason.
pub type Letter = (Vec<u8>, String, String);

/// The dead letters of a topic.
pub fn letters(brokers: &str, topic: &str) -> Vec<Letter> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "letters")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    let topic = format!("{topic}.dead-letter");
    all.add_partition_offset(&topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&all).unwrap();
    let mut letters = Vec::new();
    while let Some(Ok(record)) = consumer.poll(WAIT_LIMIT) {
        let header = |name| {
            let mut all = record.headers().unwrap().iter();
            let header = all.find(|header| header.key == name).unwrap();
            String::from_utf8(header.value.unwrap().to_vec()).unwrap()
        };
        let value = record.payload().unwrap().to_vec();
        letters.push((value, header(headers::CLASS), header(headers::REASON)));
    }
    letters
}

/// A handler that keeps the partition and the value of each record that it got, and no position. A
/// missing value is kept as an empty one.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<(i32, String)>>>);

impl Handler for Journal {
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        assert!(!batch.records.is_empty());
        self.0.lock().unwrap().extend(batch.records.iter().map(|record| {
            let value = record.value.clone().unwrap_or_default();
            (batch.partition, String::from_utf8_lossy(&value).into_owned())
        }));
        Ok(Vec::new())
    }
}

/// A running consumer.
pub struct Consumer {
    journal: Journal,
    pub engine: Arc<EngineMetrics>,
    pub schemas: Arc<Metrics>,
    stop: CancellationToken,
    run: JoinHandle<Result<Summary, Error>>,
}

impl Consumer {
    pub fn start(mut config: Config, registry: SchemaConfig) -> Self {
        let journal = Journal::default();
        let handler =
            SchemaHandler::new(journal.clone(), Some(registry), &mut config.filters).unwrap();
        let schemas = handler.metrics();
        let trigger = Trigger::new(config, handler).unwrap();
        let engine = trigger.metrics();
        let stop = CancellationToken::new();
        let run = tokio::spawn(trigger.until(stop.clone().cancelled_owned()));
        Self { journal, engine, schemas, stop, run }
    }

    /// The values that the handler got of a partition.
    pub fn got(&self, partition: i32) -> Vec<String> {
        let journal = self.journal.0.lock().unwrap();
        let got = journal.iter().filter(|(of, _)| *of == partition);
        got.map(|(_, value)| value.clone()).collect()
    }

    pub async fn stop(self) -> Summary {
        self.stop.cancel();
        tokio::time::timeout(WAIT_LIMIT, self.run).await.unwrap().unwrap().unwrap()
    }
}
