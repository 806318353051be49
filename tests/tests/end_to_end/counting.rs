//! All accepted sales are counted: with both wirings, the same sales result in the same keys.

use std::time::Duration;

use clap::Parser as _;
use pipeline_tests::{Launch, Pipeline, Wiring};
use sale::Sale;
use test_servers::{ValkeyConfig, shared_kafka, start_valkey};

use crate::top;

/// Sufficient for hundreds of batches, and for every product in every category.
const SALES: &str = "4000";

#[derive(clap::Parser)]
struct Load {
    #[command(flatten)]
    args: load::Args,
}

async fn load_and_verify(pipeline: &Pipeline) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("ledger.ndjson");
    let url = pipeline.purchase_url();
    let ledger_text = ledger.to_str().unwrap();
    let args = ["load", "--url", &url, "-n", SALES, "-c", "64", "--ledger", ledger_text, "--quiet"];
    let load = Load::parse_from(args);
    let summary = load::run(load.args, load::Stop::never()).await.unwrap();
    assert!(summary.all_accepted(), "{summary:?}\n{}", pipeline.log());
    let report = ledger::verify::verify(&ledger, pipeline.valkey_url(), Duration::from_secs(60))
        .await
        .unwrap();
    assert!(report.agrees(), "{report:?}\n{}", pipeline.log());
    assert_eq!(report.counted.to_string(), SALES);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_wirings_count_every_sale_and_give_the_same_keys() {
    let kafka = shared_kafka();
    let mut keys = Vec::new();
    for wiring in [Wiring::Chained, Wiring::Fused] {
        let pipeline = Pipeline::start(wiring, &kafka.bootstrap()).await.unwrap();
        load_and_verify(&pipeline).await;
        keys.push(pipeline.store().await.unwrap().ordered_keys().await.unwrap());
        pipeline.stop().await.unwrap();
    }
    assert!(keys[0].len() > 20, "{:?}", keys[0].keys());
    assert_eq!(keys[0], keys[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_what_the_producer_has_written() {
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let topic = "sales-that-operators-see";
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let manifest = Wiring::Fused.manifest();
    let mut launch = Launch::new(manifest, shared_kafka().bootstrap(), valkey.url(), topic)
        .variable("kafka_topic", topic)
        .variable("kafka_group", topic);
    launch.envs.push(("DOORBUSTER_OPERATOR".into(), free.to_string()));
    let pipeline = Pipeline::launch(&launch).await.unwrap();
    let sale = Sale { category: 1, product_id: "tv".into(), price: 9.99, quantity: 1 };
    let answer = pipeline.client().post("/purchase", sale.to_json()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", pipeline.log());
    let metrics = reqwest::get(format!("http://{free}/metrics")).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for line in ["kafka_producer_records_total 1", "kafka_producer_delivered_total 1"] {
        assert!(metrics.lines().any(|found| found == line), "`{line}` is not in:\n{metrics}");
    }
    assert!(metrics.contains("spin_kafka_records_total{component=\"aggregator\"}"), "{metrics}");
    top::shows_one_sale(&pipeline, &free.to_string()).await;
    let app = pipeline.client().address().to_owned();
    pipeline.stop().await.unwrap();
    top::shows_the_end(&app, &free.to_string()).await;
}
