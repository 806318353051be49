//! The producer without a broker, or with one that does not answer. No real server is needed: the
//! addresses belong to no server or to librdkafka's mock cluster.

use std::time::Duration;

use crate::support::{producer, record, within};
use host_producer::{Error, NewTopic, ProduceError, Producer, ProducerConfig, ensure_topic};
use kafka_client::OidcSettings;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use test_servers::WAIT_LIMIT;

const TOPIC: &str = "sales-topic";
/// The port of the discard service, on which nothing listens.
const NOWHERE: &str = "127.0.0.1:9";

#[tokio::test]
async fn no_broker_from_the_start_is_unavailable() {
    let producer = producer(NOWHERE);
    let error = within("the error", producer.send(vec![record(TOPIC, b"k", b"v")])).await;
    let Err(ProduceError::Unavailable(text)) = error else { panic!("{error:?}") };
    assert!(text.contains(TOPIC) && text.contains(NOWHERE), "{text}");
    assert_eq!(producer.metrics().failed.get(), 1);
    let error = producer.flush(Duration::from_millis(10)).await.unwrap_err();
    assert!(matches!(error, Error::Flush { records: 1, .. }), "{error:?}");
}

#[tokio::test]
async fn no_broker_is_unavailable_after_the_delivery_timeout_too() {
    let config = ProducerConfig {
        delivery_timeout_ms: 1_000,
        unreachable_timeout_ms: 1_000,
        ..ProducerConfig::new(NOWHERE)
    };
    let producer = Producer::new(config).unwrap();
    let error = within("the error", producer.send(vec![record(TOPIC, b"k", b"v")])).await;
    assert!(matches!(error, Err(ProduceError::Unavailable(_))), "{error:?}");
}

/// Settings with a provider of tokens that does not answer.
fn without_token() -> ProducerConfig {
    let oauth = OidcSettings {
        token_url: format!("http://{NOWHERE}/token"),
        client_id: "writer".into(),
        client_secret: Some("hunter2".to_owned().into()),
        ..OidcSettings::default()
    };
    ProducerConfig {
        oauth: Some(oauth),
        client: [("security.protocol", "sasl_plaintext")].into_iter().collect(),
        unreachable_timeout_ms: 500,
        ..ProducerConfig::new(NOWHERE)
    }
}

#[tokio::test]
async fn a_broker_for_which_there_is_no_token_is_unavailable() {
    let config = without_token();
    let producer = Producer::new(config.clone()).unwrap();
    let error = within("the error", producer.send(vec![record(TOPIC, b"k", b"v")])).await;
    assert!(matches!(error, Err(ProduceError::Unavailable(_))), "{error:?}");
    let missing = ensure_topic(&config, NewTopic::new(TOPIC, 1));
    let error = within("the error", missing).await.unwrap_err();
    assert!(error.is_retriable(), "{error}");
    assert!(error.to_string().contains(&format!("no token from http://{NOWHERE}")), "{error}");
}

#[tokio::test]
async fn only_the_records_that_do_not_fit_into_the_queue_are_refused() {
    let config = ProducerConfig {
        queue_records_max: 3,
        unreachable_timeout_ms: 500,
        ..ProducerConfig::new(NOWHERE)
    };
    let producer = Producer::new(config).unwrap();
    let records = (0..4).map(|_| record(TOPIC, b"k", b"v")).collect();
    let results = within("the errors", producer.send_each(records)).await;
    let (last, queued) = results.split_last().unwrap();
    assert_eq!(*last, Err(ProduceError::QueueFull));
    assert!(queued.iter().all(|result| matches!(result, Err(ProduceError::Unavailable(_)))));
    let metrics = producer.metrics();
    let counts = [&metrics.records, &metrics.queue_full, &metrics.failed].map(|count| count.get());
    assert_eq!(counts, [4, 1, 3]);
    let full = producer.send(vec![record(TOPIC, b"k", b"v")]);
    assert_eq!(within("the refusal", full).await, Err(ProduceError::QueueFull));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_broker_causes_a_timeout() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    let config = ProducerConfig {
        delivery_timeout_ms: 2_000,
        ..ProducerConfig::new(cluster.bootstrap_servers())
    };
    let producer = Producer::new(config).unwrap();
    let first = within("the ack", producer.send(vec![record(TOPIC, b"k", b"v")])).await.unwrap();
    assert_eq!(first[0].offset, Some(0));
    cluster.broker_round_trip_time(-1, Duration::from_secs(20)).unwrap();
    let error = within("the error", producer.send(vec![record(TOPIC, b"k", b"v")])).await;
    assert!(matches!(error, Err(ProduceError::TimedOut(_))), "{error:?}");
}

/// A cluster with the topic, and a producer whose records fail after 200 ms without a broker.
fn producer_that_gives_up_early() -> (MockCluster<'static, DefaultProducerContext>, Producer) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    let config = ProducerConfig {
        unreachable_timeout_ms: 200,
        ..ProducerConfig::new(cluster.bootstrap_servers())
    };
    (cluster, Producer::new(config).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_back_is_written_to_again() {
    let (cluster, producer) = producer_that_gives_up_early();
    let send = || producer.send(vec![record(TOPIC, b"k", b"v")]);
    within("the ack", send()).await.unwrap();
    cluster.broker_down(-1).unwrap();
    let error = within("the error", send()).await;
    assert!(matches!(error, Err(ProduceError::Unavailable(_))), "{error:?}");
    cluster.broker_up(-1).unwrap();
    let again = within("the ack", async {
        loop {
            match send().await {
                Err(ProduceError::Unavailable(_)) => {}
                sent => return sent,
            }
        }
    })
    .await;
    assert!(again.is_ok(), "{again:?}");
    producer.flush(WAIT_LIMIT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_reports_its_fault_until_a_broker_answers_again() {
    let (cluster, producer) = producer_that_gives_up_early();
    let send = || producer.send(vec![record(TOPIC, b"k", b"v")]);
    within("the ack", send()).await.unwrap();
    cluster.broker_down(-1).unwrap();
    assert_eq!(producer.fault().await, None, "no record has failed");
    let error = within("the error", send()).await;
    assert!(matches!(error, Err(ProduceError::Unavailable(_))), "{error:?}");
    let fault = producer.fault().await.unwrap();
    assert!(fault.contains(&cluster.bootstrap_servers()), "{fault}");
    // Nothing is written in the meantime.
    cluster.broker_up(-1).unwrap();
    within("the recovery", async { while producer.fault().await.is_some() {} }).await;
}

#[tokio::test]
async fn an_unreachable_broker_is_a_retriable_error_that_names_topic_and_broker() {
    let config = ProducerConfig::new(NOWHERE);
    let ensured = ensure_topic(&config, NewTopic::new(TOPIC, 1));
    let error = within("the error", ensured).await.unwrap_err();
    assert!(error.is_retriable(), "{error}");
    let text = error.to_string();
    assert!(text.contains(TOPIC) && text.contains(NOWHERE), "{text}");
}
