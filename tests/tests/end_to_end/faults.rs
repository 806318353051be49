//! Failures are reported, and no sale is lost.

use host_producer::{OutgoingRecord, Producer, ProducerConfig};
use pipeline_tests::{Pipeline, Wiring, eventually};
use test_servers::{Kafka, KafkaConfig, shared_kafka};

const SALE: &str = r#"{"categoria":1,"producto_id":"tv","precio":1.5,"cantidad_vendida":1}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_down_is_503_and_sales_flow_again_when_it_is_back() {
    let mut kafka = Kafka::start(KafkaConfig::default()).await.unwrap();
    let pipeline = Pipeline::start(Wiring::Fused, &kafka.bootstrap()).await.unwrap();
    let client = pipeline.client();
    assert_eq!(client.post("/purchase", SALE).await.unwrap().status, 200);
    kafka.kill().await.unwrap();
    let answer = client.post("/purchase", SALE).await.unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let _kafka = kafka.restart().await.unwrap();
    let store = pipeline.store().await.unwrap();
    let before = store.total().await;
    eventually("a fresh sale is accepted", async || {
        let answer = client.post("/purchase", SALE).await.ok()?;
        assert_ne!(answer.status, 400);
        (answer.status == 200).then_some(())
    })
    .await;
    eventually("and counted", async || (store.total().await > before).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_loses_nothing() {
    let kafka = shared_kafka();
    let mut pipeline = Pipeline::start(Wiring::Fused, &kafka.bootstrap()).await.unwrap();
    let client = pipeline.client();
    let mut valkey = pipeline.valkey.take().unwrap();
    valkey.kill().await.unwrap();
    for _ in 0..50 {
        assert_eq!(client.post("/purchase", SALE).await.unwrap().status, 200);
    }
    let _valkey = valkey.restart().await.unwrap();
    let store = pipeline.store().await.unwrap();
    eventually("all are counted", async || (store.total().await >= 50).then_some(())).await;
    assert_eq!(store.total().await, 50);
    pipeline.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_counts_nothing_twice() {
    let kafka = shared_kafka();
    let mut pipeline = Pipeline::start(Wiring::Fused, &kafka.bootstrap()).await.unwrap();
    let valkey = pipeline.valkey.take().unwrap();
    let client = pipeline.client();
    for _ in 0..20 {
        assert_eq!(client.post("/purchase", SALE).await.unwrap().status, 200);
    }
    let store = pipeline.store().await.unwrap();
    eventually("all are counted", async || (store.total().await == 20).then_some(())).await;
    let topic = pipeline.topic.clone();
    pipeline.stop().await.unwrap();
    let again = Pipeline::on_topic(Wiring::Chained, &kafka.bootstrap(), &valkey.url(), &topic)
        .await
        .unwrap();
    assert_eq!(again.client().post("/purchase", SALE).await.unwrap().status, 200);
    eventually("the new one is counted", async || (store.total().await >= 21).then_some(())).await;
    assert_eq!(store.total().await, 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_record_is_rejected_with_its_reason_and_the_others_are_counted() {
    let kafka = shared_kafka();
    let pipeline = Pipeline::start(Wiring::Fused, &kafka.bootstrap()).await.unwrap();
    let producer = Producer::new(ProducerConfig::new(kafka.bootstrap())).unwrap();
    // The original writer in Go leaves out fields whose value is zero.
    let from_go = r#"{"producto_id":"go","precio":2,"cantidad_vendida":1}"#;
    for value in [Some(SALE), Some("{"), None, Some(r#"{"precio":"x"}"#), Some(from_go)] {
        let record = OutgoingRecord {
            topic: pipeline.topic.clone(),
            key: Some(vec![0xff, 0]),
            value: value.map(|value| value.as_bytes().to_vec()),
            ..OutgoingRecord::default()
        };
        producer.send(vec![record]).await.unwrap();
    }
    let store = pipeline.store().await.unwrap();
    eventually("the good ones are counted", async || (store.total().await == 2).then_some(()))
        .await;
    assert_eq!(store.get("contador:Otros").await.as_deref(), Some("1"));
    eventually("the reasons are in the log", async || {
        let log = pipeline.log();
        (log.contains("tombstone") && log.contains("precio") && log.contains("JSON")).then_some(())
    })
    .await;
    pipeline.stop().await.unwrap();
}
