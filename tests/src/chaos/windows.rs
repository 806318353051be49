//! The second function of the suite, `counts-windows`, which counts the sales of each product in
//! windows of a minute with the state of `spin-kafka-sdk`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use ledger::{Difference, Expected};
use redis::AsyncCommands as _;

use super::world::TOPIC;

/// Its consumer group.
pub const GROUP: &str = "windows";

/// Added to the manifests of the members. The aggregator writes the dead letters.
pub const MANIFEST: &str = r#"
[[trigger.kafka]]
topic = "{{ kafka_topic }}"
group = "windows"
component = "counts-windows"
failed_records = "skip"

[component.counts-windows]
source = "target/components/counts_windows.wasm"
allowed_outbound_hosts = ["tcp://{{ valkey_address }}"]
variables = { valkey_url = "{{ valkey_url }}", idempotency_keys_max = "{{ idempotency_keys_max }}", idempotency_window_s = "{{ idempotency_window_s }}" }
"#;

/// The key of its positions.
pub fn positions_key() -> String {
    format!("{{windows:1}}/position:{GROUP}:{TOPIC}")
}

/// The products whose number of sales is wrong, in the sum of all windows or in the ranking.
pub async fn differences(expected: &Expected, url: &str) -> Result<Vec<Difference>> {
    let mut expected_sales: BTreeMap<String, u64> = BTreeMap::new();
    for books in expected.categories.values() {
        for (product, sales) in &books.sales {
            *expected_sales.entry(product.clone()).or_default() += sales;
        }
    }
    let mut store = ledger::connect(url).await?;
    let mut windows: BTreeMap<String, u64> = BTreeMap::new();
    let keys: Vec<String> = store.keys("{windows:1}:minute:*").await?;
    for key in keys {
        let window: BTreeMap<String, u64> = store.hgetall(key).await?;
        for (product, sales) in window {
            *windows.entry(product).or_default() += sales;
        }
    }
    let ranking: Vec<(String, u64)> =
        store.zrange_withscores("{windows:1}:products", 0, -1).await?;
    let mut differences = compare("windows", &expected_sales, &windows);
    differences.extend(compare("products", &expected_sales, &ranking.into_iter().collect()));
    Ok(differences)
}

fn compare(
    key: &str,
    expected: &BTreeMap<String, u64>,
    actual: &BTreeMap<String, u64>,
) -> Vec<Difference> {
    let products: BTreeSet<&String> = expected.keys().chain(actual.keys()).collect();
    let text = |sales: Option<&u64>| sales.map_or("nothing".to_owned(), ToString::to_string);
    products
        .into_iter()
        .filter(|product| expected.get(*product) != actual.get(*product))
        .map(|product| Difference {
            key: format!("{{windows:1}}:{key} {product}"),
            expected: text(expected.get(product)),
            actual: text(actual.get(product)),
        })
        .collect()
}
