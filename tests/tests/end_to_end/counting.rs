//! All accepted sales are counted: with all wirings, the same sales result in the same keys.

use std::path::Path;

use clap::Parser as _;
use http::Method;
use ledger::Expected;
use pipeline_tests::{Pipeline, Wiring};
use serde_json::Value;
use test_servers::{WAIT_LIMIT, shared_kafka};

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
    let report =
        ledger::verify::verify(&ledger, pipeline.valkey_url(), "", WAIT_LIMIT).await.unwrap();
    assert!(report.agrees(), "{report:?}\n{}", pipeline.log());
    assert_eq!(report.counted.to_string(), SALES);
    compare_revenues(pipeline, &ledger).await;
}

/// The API answers the same revenues as a recount of the ledger.
async fn compare_revenues(pipeline: &Pipeline, ledger: &Path) {
    let mut expected = Expected::default();
    ledger::read(ledger).unwrap().for_each(|entry| expected.add(&entry.unwrap().sale));
    let client = pipeline.client();
    let snapshot = client.send(Method::GET, "/api/v1/snapshot", &[], "").await.unwrap().json();
    let is = |answer: &Value, expected: &str| answer.as_f64() == expected.parse().ok();
    for category in snapshot["categories"].as_array().unwrap() {
        let books = expected.categories.get(category["name"].as_str().unwrap());
        let revenue = books.map(|books| books.revenue).unwrap_or_default();
        assert!(is(&category["revenue"], &revenue.to_string()), "{category} {revenue}");
    }
    let total = expected.categories.values().map(|books| books.revenue).reduce(|a, b| a + b);
    let (total, totals) = (total.unwrap(), &snapshot["totals"]);
    assert!(is(&totals["revenue"], &total.to_string()), "{totals} {total}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_wirings_count_every_sale_and_give_the_same_keys() {
    let kafka = shared_kafka();
    let mut keys = Vec::new();
    for wiring in Wiring::ALL {
        let pipeline = Pipeline::start(wiring, &kafka.bootstrap()).await.unwrap();
        load_and_verify(&pipeline).await;
        keys.push(pipeline.store().await.unwrap().ordered_keys().await.unwrap());
        pipeline.stop().await.unwrap();
    }
    assert!(keys[0].len() > 20, "{:?}", keys[0].keys());
    assert!(keys.iter().all(|of_wiring| *of_wiring == keys[0]), "{keys:?}");
}
