//! Dead letters that the broker accepts later or only without their record, on a real Kafka broker.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::cluster::{
    alter_topic, brokers, create_topic, create_topic_with, delete_topic,
};
use crate::support::letters::{Letter, letters};
use crate::support::{Session, WAIT_LIMIT, committed, config, produce, until};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::types::RDKafkaRespErr;
use spin_kafka_trigger::{Config, headers};
use test_servers::{Kafka, KafkaConfig};

const ACL_TOOL: &str = "org.apache.kafka.tools.AclCommand";

/// Bytes that cannot be compressed.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    fastrand::fill(&mut noise);
    noise
}

/// Writes records with a key, each in a separate batch.
fn produce_large(brokers: &str, topic: &str, values: &[Vec<u8>], codec: &str) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("message.max.bytes", "100000000")
        .set("compression.codec", codec)
        .create()
        .unwrap();
    for value in values {
        producer.send(BaseRecord::to(topic).key("k").payload(value)).unwrap();
        producer.flush(WAIT_LIMIT).unwrap();
    }
    assert_eq!(producer.in_flight_count(), 0);
}

/// Rejects every record of a topic, and returns the letters.
async fn reject_all(brokers: &str, topic: &str, records: i64) -> Vec<Letter> {
    let mut session = Session::start(config(brokers, topic));
    let mut end = 0;
    while end < records {
        let call = session.call().await;
        end = call.batch.end;
        let offsets: Vec<i64> = call.batch.records.iter().map(|m| m.offset).collect();
        call.reject(&offsets);
    }
    until("the end", || committed(brokers, topic, topic, 0) == Some(records)).await;
    assert_eq!(session.metrics.dead_letter_failures.get(), 0, "written at the first try");
    assert_eq!(session.stop().await.dead_letters, records as u64);
    letters(brokers, topic)
}

fn has_only_the_position(letter: &Letter, offset: i64, bytes: usize) {
    assert_eq!(letter.value, None);
    assert_eq!(letter.key.as_deref(), Some(&b"k"[..]));
    assert_eq!(letter.header(headers::OMITTED_BYTES), bytes.to_string());
    assert_eq!(letter.header(headers::PARTITION), "0");
    assert_eq!(letter.header(headers::OFFSET), offset.to_string());
    assert_eq!(letter.header(headers::REASON), "bad");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_letter_of_a_record_that_is_too_large_holds_its_position() {
    let (brokers, topic) = (brokers(), "letters-full");
    create_topic(&brokers, topic, 1).await;
    create_topic(&brokers, &format!("{topic}.dead-letter"), 1).await;
    let bytes = 1_048_450;
    produce_large(&brokers, topic, &[noise(bytes), b"small".into()], "none");
    let letters = reject_all(&brokers, topic, 2).await;
    has_only_the_position(&letters[0], 0, bytes + 1);
    assert_eq!(letters[0].header(headers::TOPIC), topic);
    assert_eq!(letters[1].value.as_deref(), Some(&b"small"[..]), "the next letter is complete");
    assert!(!letters[1].has(headers::OMITTED_BYTES));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_holds_the_record_if_its_topic_accepts_the_size() {
    let brokers = brokers();
    let large = [("max.message.bytes", "5242880")];
    for (topic, settings) in [("letters-small-topic", &[][..]), ("letters-large-topic", &large)] {
        create_topic_with(&brokers, topic, 1, &large).await;
        create_topic_with(&brokers, &format!("{topic}.dead-letter"), 1, settings).await;
        let value = noise(3_000_000);
        produce_large(&brokers, topic, std::slice::from_ref(&value), "none");
        let letters = reject_all(&brokers, topic, 1).await;
        if settings.is_empty() {
            has_only_the_position(&letters[0], 0, 3_000_001);
        } else {
            assert_eq!(letters[0].value.as_deref(), Some(&value[..]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_compressed_is_compressed_again() {
    let (brokers, topic) = (brokers(), "letters-compressed");
    create_topic(&brokers, topic, 1).await;
    create_topic(&brokers, &format!("{topic}.dead-letter"), 1).await;
    let value = b"junk ".repeat(1_000_000);
    produce_large(&brokers, topic, std::slice::from_ref(&value), "gzip");
    let letters = reject_all(&brokers, topic, 1).await;
    assert_eq!(letters[0].value.as_deref(), Some(&value[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_not_refused_because_of_others_in_its_batch() {
    let (brokers, topic) = (brokers(), "letters-neighbours");
    create_topic(&brokers, topic, 1).await;
    let small = [("max.message.bytes", "16384")];
    create_topic_with(&brokers, &format!("{topic}.dead-letter"), 1, &small).await;
    let mut values = vec![noise(5_000); 100];
    values[50] = noise(30_000);
    produce_large(&brokers, topic, &values, "none");
    let letters = reject_all(&brokers, topic, 100).await;
    assert_eq!(letters.len(), 100);
    let whole = letters.iter().filter(|letter| letter.value.as_ref().map(Vec::len) == Some(5_000));
    assert_eq!(whole.count(), 99);
    let without = letters.iter().filter(|letter| letter.value.is_none());
    let without: Vec<String> = without.map(|letter| letter.header(headers::OFFSET)).collect();
    assert_eq!(without, ["50"]);
}

/// The log of an engine that runs on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn contains(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.0.lock().unwrap()).contains(text)
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_missing_topic_is_reported_at_the_start() {
    let (brokers, topic) = (brokers(), "letters-missing");
    create_topic(&brokers, topic, 1).await;
    let written = Log::default();
    let writer = Mutex::new(written.clone());
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let session = Session::start(config(&brokers, topic));
    until("the warning", || written.contains("dead letters cannot be written")).await;
    assert!(
        written.contains("letters-missing.dead-letter") && written.contains("create the topic")
    );
    session.stop().await;
}

#[tokio::test]
async fn a_topic_without_a_leader_is_reported() {
    let cluster: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
    let topic = "letters-unknown";
    cluster.create_topic(topic, 1, 1).unwrap();
    let letters = format!("{topic}.dead-letter");
    cluster.create_topic(&letters, 1, 1).unwrap();
    let passing = RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
    cluster.topic_error(&letters, passing).unwrap();
    let written = Log::default();
    let writer = Mutex::new(written.clone());
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let session = Session::start(config(&cluster.bootstrap_servers(), topic));
    until("the warning", || written.contains("whether dead letters can be written")).await;
    assert!(written.contains(&letters) && written.contains("LeaderNotAvailable"));
    session.stop().await;
}

/// A session in which a partition soon counts as unhealthy, and in which changes of topics are
/// noticed soon.
fn impatient(brokers: &str, topic: &str) -> Config {
    let refresh = [("topic.metadata.refresh.interval.ms".to_owned(), "500".to_owned())];
    config(brokers, topic).stalled_after(Duration::from_millis(100)).client(refresh)
}

/// Waits until writing the first record's letter has failed and the partition is unhealthy.
async fn stalls(session: &mut Session, offset: i64) {
    let failures = session.metrics.dead_letter_failures.get();
    session.call().await.reject(&[offset]);
    until("a failure", || session.metrics.dead_letter_failures.get() > failures).await;
    until("an unhealthy partition", || !session.progress.stalled().is_empty()).await;
}

/// Waits until everything is written and the partition is healthy.
async fn recovers(session: &Session, brokers: &str, topic: &str, end: i64) {
    until("the commit", || committed(brokers, topic, topic, 0) == Some(end)).await;
    until("a healthy partition", || session.progress.stalled().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_accepts_no_letter_stops_its_partition_until_it_does() {
    let (brokers, topic) = (brokers(), "letters-none");
    let letters_topic = format!("{topic}.dead-letter");
    create_topic(&brokers, topic, 1).await;
    create_topic_with(&brokers, &letters_topic, 1, &[("max.message.bytes", "200")]).await;
    produce(&brokers, topic, 0, 1, 10);
    let mut session = Session::start(impatient(&brokers, topic));
    stalls(&mut session, 0).await;
    alter_topic(&brokers, &letters_topic, &[("max.message.bytes", "16384")]).await;
    recovers(&session, &brokers, topic, 1).await;
    assert_eq!(session.stop().await.dead_letters, 1);
    assert_eq!(letters(&brokers, topic)[0].header(headers::OFFSET), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_written_after_a_deleted_topic_is_created_again() {
    let (brokers, topic) = (brokers(), "letters-deleted");
    let letters_topic = format!("{topic}.dead-letter");
    create_topic(&brokers, topic, 1).await;
    create_topic(&brokers, &letters_topic, 1).await;
    produce(&brokers, topic, 0, 1, 10);
    let mut session = Session::start(impatient(&brokers, topic));
    session.call().await.reject(&[0]);
    recovers(&session, &brokers, topic, 1).await;
    delete_topic(&brokers, &letters_topic).await;
    produce(&brokers, topic, 0, 1, 10);
    stalls(&mut session, 1).await;
    create_topic(&brokers, &letters_topic, 1).await;
    recovers(&session, &brokers, topic, 2).await;
    session.stop().await;
    let letters = letters(&brokers, topic);
    let offsets: Vec<_> = letters.iter().map(|letter| letter.header(headers::OFFSET)).collect();
    assert_eq!(offsets, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_written_after_the_client_gets_access_to_the_topic() {
    let properties = [
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found=true",
    ];
    let properties = properties.map(str::to_owned).into();
    let kafka = Kafka::start(KafkaConfig { properties, ..KafkaConfig::default() }).await.unwrap();
    let (brokers, topic) = (kafka.bootstrap(), "letters-closed");
    let letters_topic = format!("{topic}.dead-letter");
    create_topic(&brokers, topic, 1).await;
    create_topic(&brokers, &letters_topic, 1).await;
    let closed = ["--topic", &letters_topic, "--deny-principal", "User:ANONYMOUS"];
    let closed = [&closed[..], &["--operation", "Write"]].concat();
    kafka.tool(ACL_TOOL, &[&["--add"], &closed[..]].concat()).await.unwrap();
    produce(&brokers, topic, 0, 1, 10);
    let mut session = Session::start(impatient(&brokers, topic));
    stalls(&mut session, 0).await;
    kafka.tool(ACL_TOOL, &[&["--remove", "--force"], &closed[..]].concat()).await.unwrap();
    recovers(&session, &brokers, topic, 1).await;
    assert_eq!(session.stop().await.dead_letters, 1);
}
