//! The same components across a network: HTTP/1.1 to another process's bridge, gRPC over
//! HTTP/2 to another process's writer.

use local_servers::{Kafka, KafkaConfig};
use pipeline_tests::{Pipeline, Wiring, eventually};

const SALE: &str = r#"{"categoria":2,"producto_id":"abrigo","precio":80,"cantidad_vendida":1}"#;

#[tokio::test(flavor = "multi_thread")]
async fn hops_in_other_processes() {
    let kafka = Kafka::start(KafkaConfig::default()).await.unwrap();
    let far = Pipeline::start(Wiring::Chained, &kafka.bootstrap()).await.unwrap();
    let base = far.purchase_url().replace("/purchase", "");
    let mut sent = 0;
    for hop in ["bridge_url", "writer_url"] {
        let near = Pipeline::with_variables(&kafka.bootstrap(), &[(hop, &base)]).await.unwrap();
        let client = near.client();
        for _ in 0..20 {
            let answer = client.post("/purchase", SALE).await.unwrap();
            assert_eq!(answer.status, 200, "{hop}: {}\n{}", answer.text(), near.log());
            sent += 1;
        }
        let wrong = SALE.replace("80", "-80");
        let answer = client.post("/purchase", wrong).await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.json()["field"].as_str()),
            (400, Some("precio"))
        );
        near.stop().await.unwrap();
    }
    let store = far.store().await.unwrap();
    eventually("the far side counts them all", async || {
        (store.total().await >= sent).then_some(())
    })
    .await;
    assert_eq!(store.total().await, sent);

    let gone = base.replace("127.0.0.1", "127.0.0.2");
    let near =
        Pipeline::with_variables(&kafka.bootstrap(), &[("writer_url", &gone)]).await.unwrap();
    let answer = near.client().post("/purchase", SALE).await.unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains(&gone), "the answer names who is missing: {}", answer.text());
    near.stop().await.unwrap();
    far.stop().await.unwrap();
}
