//! Functions that use `spin-kafka-sdk`: the project that `doorbuster new` creates, and a guest for
//! what that project does not use.

use std::path::{Path, PathBuf};

use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use pipeline_tests::{Pipeline, doorbuster, eventually, root};
use serde_json::Value;
use tempfile::TempDir;
use test_servers::shared_kafka;
use tokio::process::Command;

use crate::letters::{command, write};

/// Creates a project outside of this workspace, with the versions of the libraries that this
/// workspace uses.
async fn new_project(folder: &Path, topic: &str) -> PathBuf {
    let mut new = doorbuster();
    new.args(["new", "my-orders", "--topic", topic, "--dir"]).arg(folder);
    new.arg("--sdk").arg(root().join("crates/guest/spin-kafka-sdk"));
    let output = new.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let project = folder.join("my-orders");
    for file in ["Cargo.lock", "rust-toolchain.toml"] {
        std::fs::copy(root().join(file), project.join(file)).unwrap();
    }
    // So that the libraries are built only once.
    let built = root().join("target/template");
    std::fs::create_dir_all(&built).unwrap();
    std::os::unix::fs::symlink(built, project.join("target")).unwrap();
    project
}

/// Runs Cargo in the project.
async fn cargo(project: &Path, words: &[&str]) {
    let mut cargo = Command::new("cargo");
    cargo.args(words).arg("--offline").current_dir(project);
    let output = cargo.kill_on_drop(true).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Waits until the component has logged a line with all of these words.
pub async fn logged(running: &Pipeline, words: &[&str]) {
    eventually("the log of the component", async || {
        let log = running.log();
        log.lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
    })
    .await;
}

/// Waits for the dead letter of the record at `place`, and checks its reason.
async fn rejected(brokers: &str, manifest: &Path, place: &str, reason: &str) {
    let list = ["dlq", "list", "--kafka", brokers, "--from", manifest.to_str().unwrap()];
    let letter = eventually("the letter", async || {
        let (_, list, _) = command(&list).await;
        list.lines().find(|line| line.contains("rejected")).map(ToOwned::to_owned)
    })
    .await;
    assert!(letter.contains(place) && letter.contains(reason), "{letter}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_project_handles_a_record_and_rejects_a_malformed_one() {
    let (folder, topic) = (TempDir::new().unwrap(), "orders-of-the-template");
    let project = new_project(folder.path(), topic).await;
    cargo(&project, &["test"]).await;
    cargo(&project, &["build", "--release", "--target", "wasm32-wasip2"]).await;

    let kafka = shared_kafka();
    let brokers = kafka.bootstrap();
    ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new(topic, 1)).await.unwrap();
    write(&brokers, topic, r#"{"product":"tv"}"#, &[]).await;
    write(&brokers, topic, r#"{"product":"radio","quantity":2}"#, &[]).await;
    let manifest = project.join("spin.toml");
    let running = Pipeline::of_manifest(&manifest, &brokers, &[]).await.unwrap();
    logged(&running, &["my-orders: ", "my_orders", "ordered", "radio", "offset=1", topic]).await;
    let reason = "missing field `quantity`";
    rejected(&brokers, &manifest, "orders-of-the-template/0@0", reason).await;
    running.stop().await.unwrap();
}

const COPIES_RECORDS: &str = r#"
spin_manifest_version = 2
[application]
name = "copies-records"
[variables]
kafka_brokers = { default = "" }
[[trigger.kafka]]
component = "copies-records"
brokers = "{{ kafka_brokers }}"
topic = "numbers"
group = "copies"
[component.copies-records]
source = "copies_records.wasm"
allowed_outbound_hosts = ["tcp://{{ kafka_brokers }}"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_function_for_batches_starts_at_its_position_and_sends_records() {
    let folder = TempDir::new().unwrap();
    let wasm = "copies_records.wasm";
    std::fs::copy(root().join("target/components").join(wasm), folder.path().join(wasm)).unwrap();
    let manifest = folder.path().join("spin.toml");
    std::fs::write(&manifest, COPIES_RECORDS).unwrap();

    let kafka = shared_kafka();
    let brokers = kafka.bootstrap();
    for topic in ["numbers", "copies"] {
        ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new(topic, 1)).await.unwrap();
    }
    // The component returns position 1, so the first record is not copied.
    for value in ["0", "1", "two", "3"] {
        write(&brokers, "numbers", value, &[]).await;
    }
    let running = Pipeline::of_manifest(&manifest, &brokers, &[]).await.unwrap();
    logged(&running, &["position requested", "numbers"]).await;
    // The component logs a copy after the broker's acknowledgement.
    for number in ["number=1", "number=3"] {
        logged(&running, &["copied", number]).await;
    }
    rejected(&brokers, &manifest, "numbers/0@2", "the value is not as expected").await;
    running.stop().await.unwrap();

    let capture = ["capture", "--kafka", &brokers, "--topic", "copies"];
    let (captured, records, error) = command(&capture).await;
    assert!(captured, "{error}");
    let records = records.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut copies = Vec::new();
    for record in records {
        assert_eq!(record["key"], "copy", "{record}");
        // After a rebalance a batch may be copied again.
        if !copies.contains(&record["value"]) {
            copies.push(record["value"].clone());
        }
    }
    assert_eq!(copies, ["1", "3"]);
}
