//! A Valkey that another program has filled with the counts of the topic.

use http::Method;
use ledger::{Entry, Outcome};
use pipeline_tests::{Launch, Pipeline, Store, Wiring, doorbuster, eventually};
use sale::Sale;
use test_servers::{ValkeyConfig, shared_kafka, start_valkey};

const TOPIC: &str = "existing-counts";

/// What the original system writes for three televisions. It adds prices as floating-point numbers.
const ORIGINAL: [&str; 12] = [
    "SET producto_monitoreado_nombre:Electronica tv",
    "XADD stream_precio_producto_unico:Electronica * precio 10000.1",
    "SET contador:Electronica 3",
    "SET suma_cantidad:Electronica 3",
    "SET suma_precio:Electronica 30000.30000000000000071",
    "SET promedio_productos:Electronica 1",
    "SET promedio_precio_tag:Electronica 10000.1",
    "SET total_ventas 3",
    "ZADD ranking_productos 3 tv",
    "ZADD ranking_productos_cat:Electronica 3 tv",
    "SET precio_max_global 10000.1",
    "SET precio_min_global 10000.1",
];

fn launch(brokers: &str, valkey_url: &str) -> Launch {
    Launch::new(Wiring::Fused.manifest(), brokers, valkey_url, TOPIC)
        .variable("kafka_topic", TOPIC)
        .variable("kafka_group", TOPIC)
}

fn sale() -> Sale {
    Sale { category: 1, product_id: "tv".into(), price: 10000.1, quantity: 1 }
}

async fn sell(pipeline: &Pipeline, count: usize) {
    for _ in 0..count {
        let answer = pipeline.client().post("/purchase", sale().to_json()).await.unwrap();
        assert_eq!(answer.status, 200, "{}", pipeline.log());
    }
}

async fn wait_for(store: &Store, key: &str, total: &str) {
    eventually("the sales are counted", async || {
        store.get(key).await.filter(|counted| counted == total)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_of_another_program_are_refused_or_continued_and_never_counted_again() {
    let (kafka, valkey) = (shared_kafka(), start_valkey(ValkeyConfig::default()).await.unwrap());
    let (brokers, url) = (kafka.bootstrap(), valkey.url());
    let store = Store::connect(&url).await.unwrap();
    // Three sales, which the group has read.
    let pipeline = Pipeline::launch(&launch(&brokers, &url)).await.unwrap();
    sell(&pipeline, 3).await;
    wait_for(&store, "total_ventas", "3").await;
    pipeline.stop().await.unwrap();
    store.flush().await.unwrap();
    for command in ORIGINAL {
        store.command(&command.split(' ').collect::<Vec<_>>()).await.unwrap();
    }

    let before = store.ordered_keys().await.unwrap();
    let reason = match Pipeline::launch(&launch(&brokers, &url)).await {
        Ok(pipeline) => pipeline.ended().await.unwrap_err(),
        Err(error) => error,
    };
    let reason = format!("{reason:#}");
    for text in ["`total_ventas`", "`existing-counts`", "`existing_counts`", "`key_prefix`"] {
        assert!(reason.contains(text), "{text}: {reason}");
    }
    assert_eq!(store.ordered_keys().await.unwrap(), before, "nothing was written");

    let adopts = launch(&brokers, &url).variable("existing_counts", "adopt");
    let pipeline = Pipeline::launch(&adopts).await.unwrap();
    sell(&pipeline, 2).await;
    wait_for(&store, "total_ventas", "5").await;
    pipeline.stop().await.unwrap();
    // The counts have positions now, so nothing must be set any more.
    let pipeline = Pipeline::launch(&launch(&brokers, &url)).await.unwrap();
    sell(&pipeline, 1).await;
    wait_for(&store, "total_ventas", "6").await;
    pipeline.stop().await.unwrap();
    for (key, value) in [
        ("contador:Electronica", "6"),
        ("suma_cantidad:Electronica", "6"),
        ("suma_precio:Electronica", "60000.6"),
        ("promedio_precio_tag:Electronica", "10000.1"),
        ("precio_max_global", "10000.1"),
    ] {
        assert_eq!(store.get(key).await.as_deref(), Some(value), "{key}");
    }
    assert_eq!(store.score("ranking_productos", "tv").await, Some(6.0));

    // Under a prefix, the whole topic is counted.
    let prefixed = launch(&brokers, &url).variable("key_prefix", "shop");
    let pipeline = Pipeline::launch(&prefixed).await.unwrap();
    wait_for(&store, "shop:total_ventas", "6").await;
    assert_eq!(store.total().await, 6, "the other counts stay");
    let totals = pipeline.client().send(Method::GET, "/api/v1/totals", &[], "").await.unwrap();
    assert_eq!(totals.json()["revenue"], 60000.6, "only these counts have a revenue");
    pipeline.stop().await.unwrap();
    let mut ledger = tempfile::NamedTempFile::new().unwrap();
    for key in 0..6 {
        let entry = Entry { key: key.to_string(), outcome: Outcome::Accepted, sale: sale() };
        ledger::write(&mut ledger, &entry).unwrap();
    }
    // The other counts have no revenue of the adopted sales.
    for (prefix, agrees) in [("shop", true), ("", false)] {
        let mut verify = doorbuster();
        verify.args(["verify", "--key-prefix", prefix, "--valkey", &url, "--ledger"]);
        let output = verify.arg(ledger.path()).output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.success(), agrees, "{prefix}: {text}");
    }
}
