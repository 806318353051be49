//! The servers of `cargo xtask up`: embedded ones by default, real ones with `--local`.

use http::Method;
use nix::sys::signal::Signal;
use pipeline_tests::{Pipeline, eventually};
use serde_json::json;
use tokio::net::TcpStream;

const SALE: &str = r#"{"categoria":1,"producto_id":"tv-42","precio":499.99,"cantidad_vendida":2}"#;

/// Sends one sale, and waits until `total` sales are counted.
async fn sell(pipeline: &Pipeline, total: u64) {
    let answer = pipeline.client().post("/purchase", SALE).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.text()), (200, r#"{"status":"Procesado"}"#.into()));
    let store = pipeline.store().await.unwrap();
    eventually("the sale is counted", async || (store.total().await == total).then_some(())).await;
}

#[tokio::test]
async fn the_embedded_default_counts_and_ends_with_its_children() {
    let pipeline = Pipeline::with_own_servers(&[]).await.unwrap();
    sell(&pipeline, 1).await;
    // The records are only for trying out, so dead letters are shown without being enabled.
    let client = pipeline.client();
    let list = client.send(Method::GET, "/api/v1/dead-letters", &[], "").await.unwrap().json();
    assert_eq!((&list["replay"], &list["letters"]), (&json!(false), &json!([])), "{list}");
    assert_eq!(client.post("/api/v1/dead-letters/replay", "{}").await.unwrap().status, 403);
    let store = pipeline.valkey_url().trim_start_matches("redis://").to_owned();
    TcpStream::connect(&store).await.unwrap();
    pipeline.end(Signal::SIGINT).await.unwrap();
    TcpStream::connect(&store).await.unwrap_err();
}

#[tokio::test]
async fn an_unexpected_end_of_a_server_ends_the_program() {
    let pipeline = Pipeline::with_own_servers(&[]).await.unwrap();
    let store = pipeline.store().await.unwrap();
    // An operator might end it by mistake.
    store.command(&["SHUTDOWN", "NOSAVE"]).await.unwrap_err();
    let fault = pipeline.ended().await.unwrap_err().to_string();
    assert!(fault.contains("exit status: 1"), "{fault}");
    for part in ["valkey has ended unexpectedly", "the end of", "valkey.log"] {
        assert!(fault.contains(part), "{part}: {fault}");
    }
}

#[tokio::test]
async fn local_servers_keep_their_data_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--local", folder.path().to_str().unwrap()];
    for total in [1, 2] {
        let pipeline = Pipeline::with_own_servers(&arguments).await.unwrap();
        sell(&pipeline, total).await;
        pipeline.stop().await.unwrap();
    }
}
