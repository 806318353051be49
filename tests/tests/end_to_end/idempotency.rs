//! A retry is counted once, and a key identifies one sale.

use http::Method;
use intake::grpc;
use pipeline_tests::{Answer, Client, Pipeline, Wiring, eventually};
use product_sale::{Message as _, ProductSaleRequest};
use test_servers::shared_kafka;

const SALE: &str = r#"{"categoria":1,"producto_id":"tv","precio":1.5,"cantidad_vendida":1}"#;
const OTHER: &str = r#"{"categoria":1,"producto_id":"radio","precio":1.5,"cantidad_vendida":1}"#;

async fn post(client: &Client, path: &str, key: &str, body: &str) -> Answer {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    client.send(Method::POST, path, &headers, body.to_owned()).await.unwrap()
}

/// Waits until `total` sales are counted, and a later one in each partition, so that none is in
/// progress.
pub async fn settles_at(pipeline: &Pipeline, total: u64) {
    let (client, store) = (pipeline.client(), pipeline.store().await.unwrap());
    // Sent with many products, because the test does not know the partition of a product.
    for product in 0..20 {
        let fresh = OTHER.replace("radio", &format!("fresh-{product}"));
        assert_eq!(client.post("/purchase", fresh).await.unwrap().status, 200);
    }
    let expected = total + 20;
    eventually("all are counted", async || (store.total().await >= expected).then_some(())).await;
    assert_eq!(store.total().await, expected);
}

/// Sends sales several times, and other sales with their keys. Returns the number of sales to count.
pub async fn retries(client: &Client) -> u64 {
    for _ in 0..3 {
        assert_eq!(post(client, "/purchase", "a", SALE).await.status, 200);
        assert_eq!(post(client, "/purchase", "\"b\"", SALE).await.status, 200);
    }
    let refused = post(client, "/purchase", "a", OTHER).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert_eq!(refused.json()["type"], "urn:doorbuster:problem:key-taken");
    // Each of several sales has its own key: the request's key and the index.
    let many = format!("[{SALE},{OTHER}]");
    for _ in 0..2 {
        assert_eq!(post(client, "/purchases", "m", &many).await.status, 200);
    }
    let swapped = format!("[{SALE},{SALE}]");
    let answer = post(client, "/purchases", "m", &swapped).await;
    assert_eq!(answer.status, 207, "{}", answer.text());
    assert_eq!(answer.json()["results"][1]["status"], 422);
    4
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bridge_and_the_writer_also_refuse_a_used_key() {
    let kafka = shared_kafka();
    let pipeline = Pipeline::start(Wiring::Chained, &kafka.bootstrap()).await.unwrap();
    let client = pipeline.client();
    assert_eq!(post(&client, "/purchase", "a", SALE).await.status, 200);
    assert_eq!(post(&client, "/forward", "a", SALE).await.status, 200);
    assert_eq!(post(&client, "/forward", "a", OTHER).await.status, 422);
    let other = ProductSaleRequest {
        categoria: 1,
        producto_id: "radio".into(),
        precio: 1.5,
        cantidad_vendida: 1,
    };
    let message = grpc::frame(&other.encode_to_vec());
    let answer = client.grpc_with_key(grpc::METHOD_PATH, "a", message).await.unwrap();
    assert_eq!(answer.header("grpc-status"), "6", "{answer:?}");
    settles_at(&pipeline, 1).await;
    pipeline.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_while_the_store_is_down_or_hangs_counts_once() {
    let kafka = shared_kafka();
    let mut pipeline = Pipeline::start(Wiring::Fused, &kafka.bootstrap()).await.unwrap();
    let client = pipeline.client();
    let mut valkey = pipeline.valkey.take().unwrap();
    valkey.pause().unwrap();
    for _ in 0..3 {
        assert_eq!(post(&client, "/purchase", "hangs", SALE).await.status, 200);
    }
    valkey.resume().unwrap();
    valkey.kill().await.unwrap();
    for _ in 0..3 {
        assert_eq!(post(&client, "/purchase", "down", SALE).await.status, 200);
    }
    let _valkey = valkey.restart().await.unwrap();
    assert_eq!(post(&client, "/purchase", "down", SALE).await.status, 200);
    settles_at(&pipeline, 2).await;
    pipeline.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_store_is_rebuilt_from_the_log() {
    let kafka = shared_kafka();
    let pipeline = Pipeline::start(Wiring::Fused, &kafka.bootstrap()).await.unwrap();
    let client = pipeline.client();
    for number in 0..50 {
        let (key, product) = (format!("k{number}"), format!("p{number}"));
        let sale = SALE.replace("tv", &product);
        assert_eq!(post(&client, "/purchase", &key, &sale).await.status, 200);
    }
    settles_at(&pipeline, 50).await;
    let store = pipeline.store().await.unwrap();
    store.flush().await.unwrap();
    // The loss is noticed with the next sale of each partition.
    for product in 0..20 {
        let late = OTHER.replace("radio", &format!("late-{product}"));
        assert_eq!(client.post("/purchase", late).await.unwrap().status, 200);
    }
    eventually("all are counted again", async || (store.total().await >= 90).then_some(())).await;
    assert_eq!(store.total().await, 90);
    assert!(pipeline.log().contains("rebuilt"), "{}", pipeline.log());
    // The set of remembered keys is rebuilt, too.
    assert_eq!(post(&client, "/purchase", "k7", &SALE.replace("tv", "p7")).await.status, 200);
    settles_at(&pipeline, 90).await;
    pipeline.stop().await.unwrap();
}
