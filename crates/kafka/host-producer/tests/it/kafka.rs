//! The producer on a real Kafka broker.

use std::collections::HashSet;
use std::time::Duration;

use crate::support::{producer, record, within};
use host_producer::{
    Delivery, Header, NewTopic, OutgoingRecord, ProduceError, Producer, ProducerConfig, TopicState,
    ensure_topic,
};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Headers as _;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use test_servers::{ClusterConfig, Kafka, KafkaCluster, KafkaConfig, WAIT_LIMIT, shared_kafka};

/// The address of the broker that most tests share.
fn brokers() -> String {
    shared_kafka().bootstrap()
}

/// The delivery of a record in partition 0.
fn at(offset: i64) -> Delivery {
    Delivery { partition: 0, offset: Some(offset) }
}

/// Reads one partition from its beginning.
fn reader(brokers: &str, topic: &str, partition: i32) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut assigned = TopicPartitionList::new();
    assigned.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    consumer.assign(&assigned).unwrap();
    consumer
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_go_to_the_partitions_that_java_clients_choose() {
    const PARTITIONS: i32 = 7;
    let (brokers, topic) = (brokers(), "keys");
    ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new(topic, PARTITIONS)).await.unwrap();
    let producer = producer(&brokers);
    let mut keys: Vec<Vec<u8>> = (0..200).map(|n| format!("product-{n:05}").into_bytes()).collect();
    keys.extend([b"".to_vec(), b"21".to_vec(), b"foobar".to_vec(), vec![0xff, 0x00, 0x80, 0x7f]]);
    let records = keys.iter().map(|key| record(topic, key, b"x")).collect();
    let deliveries = within("the acks", producer.send(records)).await.unwrap();
    for (key, delivery) in keys.iter().zip(&deliveries) {
        assert_eq!(delivery.partition, kafka_record::partition(key, PARTITIONS), "{key:?}");
    }
    let used: HashSet<i32> = deliveries.iter().map(|delivery| delivery.partition).collect();
    assert_eq!(used.len(), PARTITIONS as usize, "the keys cover all partitions");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_arrive_as_they_were_sent_and_deliveries_contain_their_offsets() {
    let (brokers, topic) = (brokers(), "as-sent");
    ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new(topic, 1)).await.unwrap();
    let header = |name: &str, value: Option<&[u8]>| Header {
        name: name.into(),
        value: value.map(<[u8]>::to_vec),
    };
    let headers = vec![
        header("twice", Some(b"1")),
        header("twice", Some(b"\xff\x00")),
        header("null", None),
        header("empty", Some(b"")),
    ];
    let sent = vec![
        OutgoingRecord { headers, ..record(topic, b"\xff\x00", b"value") },
        OutgoingRecord { value: None, ..record(topic, b"tombstone", b"") },
        OutgoingRecord { key: None, ..record(topic, b"", b"") },
    ];
    let deliveries = within("the acks", producer(&brokers).send(sent.clone())).await.unwrap();
    let expected: Vec<_> = (0..3).map(at).collect();
    assert_eq!(deliveries, expected);

    let consumer = reader(&brokers, topic, 0);
    for sent in sent {
        let read = consumer.poll(WAIT_LIMIT).unwrap().unwrap();
        assert_eq!((read.key(), read.payload()), (sent.key.as_deref(), sent.value.as_deref()));
        let headers: Vec<_> =
            read.headers().into_iter().flat_map(|headers| headers.iter()).collect();
        assert_eq!(headers.len(), sent.headers.len());
        for (read, sent) in headers.iter().zip(&sent.headers) {
            assert_eq!((read.key, read.value), (sent.name.as_str(), sent.value.as_deref()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_has_its_own_result_partition_and_timestamp() {
    let (brokers, topic) = (brokers(), "chosen-partitions");
    ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new(topic, 3)).await.unwrap();
    let to = |partition| OutgoingRecord { partition: Some(partition), ..record(topic, b"k", b"v") };
    let records = vec![
        OutgoingRecord { timestamp_ms: Some(1_700_000_000_000), ..to(1) },
        to(7),
        record("no topic", b"k", b"v"),
        OutgoingRecord { timestamp_ms: Some(0), ..to(1) },
        to(2),
    ];
    let producer = producer(&brokers);
    let results = within("the results", producer.send_each(records)).await;
    let in_partition = |partition| Ok(Delivery { partition, offset: Some(0) });
    assert_eq!(results[0], in_partition(1));
    assert_eq!(results[4], in_partition(2));
    let refused = |result: &Result<_, _>| matches!(result, Err(ProduceError::Refused(_)));
    assert!(results[1..4].iter().all(refused), "{results:?}");
    let consumer = reader(&brokers, topic, 1);
    let read = consumer.poll(WAIT_LIMIT).unwrap().unwrap();
    assert_eq!(read.timestamp().to_millis(), Some(1_700_000_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_refused_and_not_created() {
    let brokers = brokers();
    let producer = producer(&brokers);
    for _ in 0..2 {
        let error = within("the refusal", producer.send(vec![record("missing", b"k", b"v")])).await;
        let Err(ProduceError::Refused(text)) = error else { panic!("{error:?}") };
        assert!(text.contains("missing") && text.contains(&brokers), "{text}");
    }
    assert_eq!(
        ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new("missing", 1)).await.unwrap(),
        TopicState::Created
    );
    // The same producer writes to the topic once it exists.
    let sent = within("the ack", async {
        loop {
            match producer.send(vec![record("missing", b"k", b"v")]).await {
                Err(ProduceError::Refused(_)) => {
                    tokio::time::sleep(Duration::from_millis(50)).await
                }
                sent => return sent,
            }
        }
    })
    .await;
    assert_eq!(sent.unwrap(), [at(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_topic_name_is_refused() {
    let producer = producer(&brokers());
    for topic in ["", "no spaces", "nul\0", "ü", &"x".repeat(250)] {
        let error = within("the refusal", producer.send(vec![record(topic, b"k", b"v")])).await;
        assert!(matches!(error, Err(ProduceError::Refused(_))), "{topic:?}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_is_not_written() {
    let (brokers, topic) = (brokers(), "too-large");
    ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new(topic, 1)).await.unwrap();
    // Refused by the client, and refused by the broker.
    let mut above_client = ProducerConfig::new(&brokers);
    above_client.compression = host_producer::Compression::None;
    let mut above_broker = above_client.clone();
    above_broker.client = [("message.max.bytes", "10000000")].into_iter().collect();
    for config in [above_client, above_broker] {
        let producer = Producer::new(config).unwrap();
        let large = vec![0; 2_000_000];
        let error = within("the refusal", producer.send(vec![record(topic, b"k", &large)])).await;
        let Err(ProduceError::TooLarge(text)) = error else { panic!("{error:?}") };
        assert!(text.contains(topic), "{text}");
        let next = within("the ack", producer.send(vec![record(topic, b"k", b"small")])).await;
        assert!(next.is_ok(), "a large record does not affect others: {next:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_created_once_and_keeps_its_partitions() {
    let (brokers, topic) = (brokers(), "created-once");
    assert_eq!(
        ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new(topic, 3)).await.unwrap(),
        TopicState::Created
    );
    assert_eq!(
        ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new(topic, 5)).await.unwrap(),
        TopicState::Exists
    );
    let metadata = reader(&brokers, topic, 0);
    let metadata = metadata.fetch_metadata(Some(topic), WAIT_LIMIT).unwrap();
    assert_eq!(metadata.topics()[0].partitions().len(), 3);
    let error = ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new("no spaces", 1))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no spaces") && !error.is_retriable(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_acknowledges_every_record_once() {
    let kafka = Kafka::start(KafkaConfig::default()).await.unwrap();
    let (brokers, topic) = (kafka.bootstrap(), "restart");
    ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new(topic, 1)).await.unwrap();
    // The timeout allows for the restart during the delivery of one record.
    let config = ProducerConfig {
        delivery_timeout_ms: 60_000,
        unreachable_timeout_ms: 60_000,
        ..ProducerConfig::new(&brokers)
    };
    let producer = Producer::new(config).unwrap();
    let send = |number: usize| {
        let producer = producer.clone();
        let value = number.to_string().into_bytes();
        tokio::spawn(async move { producer.send(vec![record(topic, b"k", &value)]).await.unwrap() })
    };
    send(0).await.unwrap();
    let during: Vec<_> = (1..200).map(send).collect();
    let kafka = kafka.restart().await.unwrap();
    let after: Vec<_> = (200..300).map(send).collect();
    let mut offsets = Vec::new();
    for sent in during.into_iter().chain(after) {
        offsets.push(within("the ack", sent).await.unwrap()[0].offset);
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (1..300).map(Some).collect::<Vec<_>>(), "each record is in the log once");
    assert_eq!(producer.metrics().delivered.get(), 300);
    kafka.stop().await.unwrap();
}

/// Tries until it succeeds.
async fn until_ok<T, E, F>(attempt: impl Fn() -> F)
where
    F: Future<Output = Result<T, E>>,
{
    while attempt().await.is_err() {
        // An attempt may fail at once; the yield lets the caller's time limit end this loop.
        tokio::task::yield_now().await;
    }
}

/// Copies a stopped broker's folder.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_back_with_an_older_disk_is_written_to_again() {
    let folder = tempfile::tempdir().unwrap();
    let (data, older) = (folder.path().join("broker"), folder.path().join("older"));
    let config = KafkaConfig { data_dir: Some(data.clone()), ..KafkaConfig::default() };
    let kafka = Kafka::start(config.clone()).await.unwrap();
    let (brokers, topic) = (kafka.bootstrap(), "older-disk");
    let port = Some(kafka.port());
    ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new(topic, 1)).await.unwrap();
    let producer = producer(&brokers);
    within("the ack", producer.send(vec![record(topic, b"k", b"kept")])).await.unwrap();
    kafka.stop().await.unwrap();
    copy(&data, &older);

    let config = KafkaConfig { port, ..config };
    let mut kafka = Kafka::start(config.clone()).await.unwrap();
    let send = || producer.send(vec![record(topic, b"k", b"lost")]);
    for _ in 0..5 {
        // The broker has only just started again.
        within("the ack", until_ok(send)).await;
    }
    kafka.kill().await.unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&older, &data);
    let kafka = Kafka::start(config).await.unwrap();

    // The broker refuses the producer's next sequence number, because it has lost the records
    // before it.
    let sent = within("the ack", async {
        loop {
            match producer.send(vec![record(topic, b"k", b"kept")]).await {
                Ok(sent) => return sent,
                Err(ProduceError::Unavailable(text)) => {
                    println!("{text}");
                    // `send` may fail at once; the yield lets the time limit end this loop.
                    tokio::task::yield_now().await;
                }
                Err(error) => panic!("it says that the record was perhaps written: {error:?}"),
            }
        }
    })
    .await;
    assert_eq!(sent[0].offset, Some(1), "no refused record was written");
    assert!(producer.metrics().replaced.get() >= 1);
    kafka.stop().await.unwrap();
}

/// Every election raises a partition's leader epoch; the epoch of a new topic begins at 0.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_created_again_after_elections_is_written_to() {
    const PARTITIONS: i32 = 12;
    let mut cluster = KafkaCluster::start(ClusterConfig::default()).await.unwrap();
    let (brokers, topic) = (cluster.bootstrap(), "created-again");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
    let config = ProducerConfig::new(&brokers);
    // Brokers that have just started may take longer than one call waits.
    let ensure = || ensure_topic(&config, NewTopic::new(topic, PARTITIONS));
    within("the topic", until_ok(ensure)).await;
    let producer = producer(&brokers);
    // One key for each partition.
    let keys: Vec<Vec<u8>> = (0..PARTITIONS)
        .map(|partition| {
            let mut keys = (0..).map(|number: u32| number.to_string().into_bytes());
            keys.find(|key| kafka_record::partition(key, PARTITIONS) == partition).unwrap()
        })
        .collect();
    let write_to_all = || async {
        for key in &keys {
            let send = || producer.send(vec![record(topic, key, b"v")]);
            within("the ack", until_ok(send)).await;
        }
    };
    for broker in 0..3 {
        cluster.kill(broker).await.unwrap();
        write_to_all().await;
        cluster.restart(broker).await.unwrap();
        write_to_all().await;
    }
    for deleted in admin.delete_topics(&[topic], &AdminOptions::new()).await.unwrap() {
        deleted.unwrap();
    }
    within("the topic", until_ok(ensure)).await;
    write_to_all().await;
    cluster.stop().await.unwrap();
}
