//! A Valkey that does not support HELLO, like old servers and some proxies.

use http::Method;
use pipeline_tests::{Pipeline, Store, Wiring, eventually};
use test_servers::{ValkeyConfig, shared_kafka, start_valkey};

const SALE: &str = r#"{"categoria":4,"producto_id":"crema","precio":12.5,"cantidad_vendida":3}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_hello_is_used_and_its_password_is_not_logged() {
    let kafka = shared_kafka();
    let arguments = ["--requirepass", "s3cret&word", "--rename-command", "HELLO", ""];
    let arguments = arguments.map(str::to_owned).to_vec();
    let valkey = start_valkey(ValkeyConfig { arguments, ..Default::default() }).await.unwrap();
    let url = valkey.url().replace("//", "//:s3cret&word@");
    let pipeline = Pipeline::with_store(Wiring::Chained, &kafka.bootstrap(), &url).await.unwrap();
    let client = pipeline.client();
    let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
    let send = async |body: String| client.send(Method::POST, "/purchase", &headers, body).await;
    for (body, status) in [(SALE.to_owned(), 200), (SALE.replace("12.5", "1"), 422)] {
        let answer = send(body).await.unwrap();
        assert_eq!(answer.status, status, "{}\n{}", answer.text(), pipeline.log());
    }
    let store = Store::connect(&url).await.unwrap();
    eventually("the sale is counted", async || (store.total().await == 1).then_some(())).await;
    assert!(!pipeline.log().contains("s3cret"), "{}", pipeline.log());
    pipeline.stop().await.unwrap();
}
