//! Failovers of Valkey: the new primary is found among the configured servers, and the books agree.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use http::Method;
use load::{Stop, Summary};
use pipeline_tests::{Client, Pipeline, Store, Wiring, eventually};
use tempfile::TempDir;
use test_servers::{
    Sentinel, SentinelConfig, Valkey, ValkeyConfig, WAIT_LIMIT, shared_kafka, start_valkey,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SALE: &str = r#"{"categoria":1,"producto_id":"tv","precio":1.5,"cantidad_vendida":1}"#;
const OTHER: &str = r#"{"categoria":1,"producto_id":"radio","precio":1.5,"cantidad_vendida":1}"#;

/// Number of Sentinels, and how many must agree that the primary is down.
const SENTINELS: usize = 3;
const QUORUM: u8 = 2;

/// Number of sales that are counted before the next step.
const SOME: u64 = 300;

/// A URL with several servers.
fn url_of(servers: &[&Valkey]) -> String {
    let hosts: Vec<String> = servers.iter().map(|s| format!("127.0.0.1:{}", s.port())).collect();
    format!("redis://{}", hosts.join(","))
}

async fn connect(server: &Valkey) -> Store {
    Store::connect(&server.url()).await.unwrap()
}

/// The replication state of a server, over a new connection, because Sentinel closes open ones.
async fn replication(url: &str) -> Option<String> {
    Store::connect(url).await.ok()?.info("replication").await.ok()
}

/// A server with an append-only file, which refuses writes without a replica.
async fn start(replica_of: Option<u16>) -> (Valkey, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = ValkeyConfig {
        data_dir: Some(folder.path().into()),
        append_only: true,
        replica_of,
        min_replicas: 1,
        ..ValkeyConfig::default()
    };
    (start_valkey(config).await.unwrap(), folder)
}

/// Starts Sentinels, and waits until they have found the replicas and each other.
async fn watch(primary: &Valkey) -> Vec<Sentinel> {
    eventually("the replicas have caught up", async || {
        let info = replication(&primary.url()).await?;
        (info.matches("state=online").count() == 2).then_some(())
    })
    .await;
    let mut sentinels = Vec::new();
    for _ in 0..SENTINELS {
        let config = SentinelConfig { quorum: QUORUM, ..SentinelConfig::new(primary.port()) };
        sentinels.push(Sentinel::start(config).await.unwrap());
    }
    for sentinel in &sentinels {
        eventually("a Sentinel has found all others", async || {
            has_found_all(sentinel).await.then_some(())
        })
        .await;
    }
    sentinels
}

async fn has_found_all(sentinel: &Sentinel) -> bool {
    let url = format!("redis://127.0.0.1:{}", sentinel.port());
    let mut connection = ledger::connect(&url).await.unwrap();
    let known: BTreeMap<String, String> = redis::cmd("SENTINEL")
        .arg(&["MASTER", SentinelConfig::NAME])
        .query_async(&mut connection)
        .await
        .unwrap();
    let count = |name: &str| known.get(name).and_then(|text| text.parse().ok());
    count("num-slaves") == Some(2) && count("num-other-sentinels") == Some(SENTINELS - 1)
}

/// A load whose clients retry until they are accepted, and repeat some accepted requests.
fn load(url: String, ledger: &Path, stop: &CancellationToken) -> JoinHandle<Summary> {
    let args = load::Args {
        url: url.parse().unwrap(),
        count: u64::MAX,
        seconds: None,
        connections: 16,
        rate: Some(500),
        retries: u32::MAX,
        timeout: 10,
        repeat: 10,
        without_keys: false,
        seed: 1,
        products: 50,
        ledger: Some(ledger.into()),
        json: false,
        quiet: true,
    };
    let stop = Stop::Finish(Box::pin(stop.clone().cancelled_owned()));
    tokio::spawn(async move { load::run(args, stop).await.unwrap() })
}

/// Waits until a number of further sales is counted.
async fn counts_on(store: &Store, pipeline: &Pipeline) {
    let wanted = store.total().await + SOME;
    let counted = async {
        while store.total().await < wanted {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let counted = tokio::time::timeout(WAIT_LIMIT, counted).await;
    assert!(counted.is_ok(), "no more sales are counted\n{}", pipeline.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_loses_nothing_and_counts_nothing_twice() {
    let kafka = shared_kafka();
    let (mut first, _folder) = start(None).await;
    let (second, _folder_2) = start(Some(first.port())).await;
    let (third, _folder_3) = start(Some(first.port())).await;
    let _sentinels = watch(&first).await;
    let url = url_of(&[&first, &second, &third]);
    let pipeline = Pipeline::with_store(Wiring::Fused, &kafka.bootstrap(), &url).await.unwrap();
    let (folder, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
    let ledger = folder.path().join("ledger.ndjson");
    let load = load(pipeline.purchase_url(), &ledger, &stop);
    counts_on(&connect(&first).await, &pipeline).await;

    first.kill().await.unwrap();
    let new = eventually("a replica is promoted", async || {
        for url in [second.url(), third.url()] {
            if replication(&url).await?.contains("role:master") {
                return Some(url);
            }
        }
        None
    })
    .await;
    let new = Store::connect(&new).await.unwrap();
    counts_on(&new, &pipeline).await;

    // The old primary is started again, and still has that role.
    let first = first.restart().await.unwrap();
    counts_on(&new, &pipeline).await;
    eventually("the old primary is a replica", async || {
        let info = replication(&first.url()).await?;
        ["role:slave", "master_link_status:up"].iter().all(|text| info.contains(text)).then_some(())
    })
    .await;
    counts_on(&new, &pipeline).await;

    stop.cancel();
    let summary = load.await.unwrap();
    assert!(summary.failed.is_empty(), "{summary:?}\n{}", pipeline.log());
    let report = ledger::verify::verify(&ledger, &url, "", WAIT_LIMIT).await.unwrap();
    assert!(report.agrees(), "{report:?}\n{}", pipeline.log());
    assert_eq!(report.counted, report.accepted);
    pipeline.stop().await.unwrap();
}

async fn post(client: &Client, key: &str, body: &str) -> u16 {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    let answer = client.send(Method::POST, "/purchase", &headers, body.to_owned()).await;
    answer.unwrap().status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_checked_although_a_server_is_silent() {
    let kafka = shared_kafka();
    let silent = start_valkey(ValkeyConfig::default()).await.unwrap();
    let primary = start_valkey(ValkeyConfig::default()).await.unwrap();
    silent.pause().unwrap();
    let url = url_of(&[&silent, &primary]);
    let pipeline = Pipeline::with_store(Wiring::Fused, &kafka.bootstrap(), &url).await.unwrap();
    let client = pipeline.client();
    // The first attempts may exceed the writer's time limit for Valkey, because the caches are
    // cold.
    eventually("a taken key is refused", async || {
        let key = format!("key-{}", fastrand::u64(..));
        assert_eq!(post(&client, &key, SALE).await, 200);
        (post(&client, &key, OTHER).await == 422).then_some(())
    })
    .await;
    let store = connect(&primary).await;
    eventually("a sale is counted", async || (store.total().await > 0).then_some(())).await;
    pipeline.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_reported_and_used_once_it_is_the_primary() {
    let kafka = shared_kafka();
    let primary = start_valkey(ValkeyConfig::default()).await.unwrap();
    let config = ValkeyConfig { replica_of: Some(primary.port()), ..ValkeyConfig::default() };
    let replica = start_valkey(config).await.unwrap();
    let pipeline =
        Pipeline::with_store(Wiring::Fused, &kafka.bootstrap(), &replica.url()).await.unwrap();
    assert_eq!(post(&pipeline.client(), "a", SALE).await, 200);
    eventually("the log says so", async || {
        pipeline.log().contains("is not the primary").then_some(())
    })
    .await;
    let store = connect(&replica).await;
    store.command(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    eventually("the sale is counted", async || (store.total().await == 1).then_some(())).await;
    pipeline.stop().await.unwrap();
}
