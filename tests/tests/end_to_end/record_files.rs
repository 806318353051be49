//! `doorbuster test`, `doorbuster capture` and `doorbuster produce`.

use std::path::PathBuf;
use std::process::Output;

use host_producer::{Header, NewTopic, OutgoingRecord, Producer, ProducerConfig, ensure_topic};
use pipeline_tests::{doorbuster, root};
use serde_json::Value;
use tempfile::TempDir;
use test_servers::{ValkeyConfig, shared_kafka, start_valkey};

/// A folder with an application that fails on command, and files of records.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let wasm = wasm();
        let manifest = format!(
            r#"
spin_manifest_version = 2
[application]
name = "fails-on-command"
[variables]
kafka_brokers = {{ required = true }}
[[trigger.kafka]]
component = "fails-on-command"
brokers = "{{{{ kafka_brokers }}}}"
topic = "commands"
group = "commands"
handler_deadline_ms = 1000
retry_backoff_ms = 1
poison_attempts = 2
filters = [{{ on = "key", prefix = "k" }}]
[component.fails-on-command]
source = "{}"
"#,
            wasm.display()
        );
        std::fs::write(folder.path().join("spin.toml"), manifest).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file with these values, each with the key `k`.
    fn write(&self, name: &str, values: &[&str]) {
        let line = |value: &&str| format!("{{\"key\":\"k\",\"value\":\"{value}\"}}\n");
        let text: String = values.iter().map(line).collect();
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Runs the program in the folder.
    async fn run(&self, words: &[&str]) -> Output {
        doorbuster().args(words).current_dir(self.0.path()).output().await.unwrap()
    }

    /// Runs the program; returns the exit code and the standard output.
    async fn test(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.run(&[&["test"], words].concat()).await;
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }
}

fn wasm() -> PathBuf {
    root().join("target/components/fails_on_command.wasm")
}

#[tokio::test]
async fn a_panic_is_reported_with_its_record() {
    let folder = Folder::new();
    let values = ["a", "b", "c", "d", "e", "f", "trap", "h", "i", "j"];
    folder.write("records.ndjson", &values);
    let (code, text) = folder.test(&["records.ndjson"]).await;
    assert_eq!(code, Some(1), "{text}");
    for part in [
        // With nine others, with four, with one, and alone.
        "line 7: trap after 4 attempts\n",
        "  record    partition 0, offset 6\n",
        "  key       k\n",
        "  value     trap\n",
        "trapped",
        "as requested",
        "10 records: 9 applied, 1 trap\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }

    let wasm = wasm();
    let (code, text) = folder.test(&[wasm.to_str().unwrap(), "records.ndjson"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("line 7: trap after "), "{text}");
    folder.write("good.ndjson", &["a", "b"]);
    let good = folder.test(&[wasm.to_str().unwrap(), "good.ndjson"]).await;
    assert_eq!(good, (Some(0), "2 records: 2 applied\n".into()));
}

#[tokio::test]
async fn answers_are_compared_with_golden_ones() {
    let folder = Folder::new();
    folder.write("records.ndjson", &["a", "trap", "loop", "grow", "reject", "b"]);
    let filtered = "{\"key\":\"other\",\"value\":\"trap\"}\n";
    let text = std::fs::read_to_string(folder.path("records.ndjson")).unwrap() + filtered;
    std::fs::write(folder.path("records.ndjson"), text).unwrap();
    let words = ["records.ndjson", "--golden", "golden.ndjson"];
    let words = [&words[..], &["--max-instance-memory", "16777216"]].concat();

    let (code, text) = folder.test(&words).await;
    assert_eq!((code, text.as_str()), (Some(2), ""), "there is no golden file");
    let (code, text) = folder.test(&[&words[..], &["--update"]].concat()).await;
    assert_eq!(code, Some(0), "{text}");
    let golden = std::fs::read_to_string(folder.path("golden.ndjson")).unwrap();
    let lines: Vec<Value> = golden.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let results: Vec<&str> = lines.iter().map(|line| line["result"].as_str().unwrap()).collect();
    let expected = ["applied", "trap", "deadline", "memory", "rejected", "applied", "filtered"];
    assert_eq!(results, expected);
    assert_eq!(lines[4]["reason"], "the first build");

    let (code, text) = folder.test(&words).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with("0 differences from the golden answers\n"), "{text}");
    // Other batches have the same answers.
    let (code, text) = folder.test(&[&words[..], &["--batch", "2"]].concat()).await;
    assert_eq!(code, Some(0), "{text}");

    std::fs::write(folder.path("golden.ndjson"), golden.replace("deadline", "applied")).unwrap();
    let (code, text) = folder.test(&words).await;
    assert_eq!(code, Some(1), "{text}");
    let difference = "partition 0, offset 2\n  - applied\n  + deadline\n1 differences from";
    assert!(text.contains(difference), "{text}");
}

#[tokio::test]
async fn a_test_that_cannot_be_run_exits_with_2() {
    let folder = Folder::new();
    folder.write("good.ndjson", &["a"]);
    std::fs::write(folder.path("bad.ndjson"), "{}\n{\"vlaue\":1}\n").unwrap();
    let cases: [(&[&str], &str); 9] = [
        (&["missing.ndjson"], "missing.ndjson"),
        (&["bad.ndjson"], "bad.ndjson: line 2: unknown field `vlaue`"),
        (&["missing.wasm", "good.ndjson"], "missing.wasm"),
        (&["good.ndjson", "--from", "missing.toml"], "missing.toml"),
        (&["good.ndjson", "--component", "other"], "no such Kafka trigger"),
        (&["good.ndjson", "--update"], "--golden"),
        (
            &["good.ndjson", "--update", "--golden", "missing/golden.ndjson"],
            "cannot write missing/golden.ndjson",
        ),
        (&["good.ndjson", "--batch", "0"], "batch_records_max"),
        (&[], "RECORDS"),
    ];
    for (words, part) in cases {
        let output = folder.run(&[&["test"], words].concat()).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {error}");
        assert!(error.contains(part), "{words:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_aggregator_is_tested_with_a_real_store() {
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let folder = TempDir::new().unwrap();
    let sale = |product: &str| {
        format!(
            "{{\"key\":\"{product}\",\"value\":{{\"categoria\":1,\"producto_id\":\"{product}\",\
             \"precio\":499.99,\"cantidad_vendida\":2}}}}\n"
        )
    };
    let records = folder.path().join("sales.ndjson");
    std::fs::write(&records, sale("tv-42") + &sale("tv-43")).unwrap();
    let url = format!("valkey_url={}", valkey.url());
    let address = format!("valkey_address={}", valkey.url().trim_start_matches("redis://"));
    let words = ["--from", "spin-fused.toml", "--variable", &url, "--variable", &address];
    let output = doorbuster().arg("test").arg(&records).args(words).output().await.unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2 records: 2 applied\n");

    let client = redis::Client::open(valkey.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut get = redis::cmd("GET");
    let counted: u64 = get.arg("total_ventas").query_async(&mut connection).await.unwrap();
    assert_eq!(counted, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn captured_records_are_tested() {
    let kafka = shared_kafka();
    let config = ProducerConfig::new(kafka.bootstrap());
    ensure_topic(&config, NewTopic::new("captured", 2)).await.unwrap();
    let record = |key: &[u8], value: Option<&str>| OutgoingRecord {
        topic: "captured".into(),
        key: Some(key.to_vec()),
        value: value.map(|value| value.as_bytes().to_vec()),
        headers: vec![Header { name: "kind".into(), value: Some(vec![0xff]) }],
        ..OutgoingRecord::default()
    };
    let keys = [&b"k\xff"[..], b"k", b"k2", b"k3", b"k4"];
    let values = [Some("a"), Some("trap"), None, Some("b"), Some("c")];
    let records = keys.iter().zip(values).map(|(key, value)| record(key, value)).collect();
    Producer::new(config).unwrap().send(records).await.unwrap();

    // Without an application.
    let elsewhere = TempDir::new().unwrap();
    let brokers = kafka.bootstrap();
    let words = ["capture", "--kafka", &brokers, "--topic", "captured"];
    let mut command = doorbuster();
    let output = command.args(words).current_dir(elsewhere.path()).output().await.unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.contains("5 records captured"), "{error}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    lines.sort_by_key(|line| line["value"].to_string());
    assert_eq!(lines.len(), 5, "{text}");
    assert_eq!(lines[0]["key_base64"], "a/8=");
    assert_eq!(lines[0]["headers"], serde_json::json!([{"name": "kind", "value_base64": "/w=="}]));
    assert!(lines[0]["timestamp"].as_i64().unwrap() > 1_600_000_000_000);
    assert_eq!(lines.iter().filter(|line| line["value"].is_null()).count(), 1);

    // With the settings of an application, from some partitions and not all records.
    let folder = Folder::new();
    let words = [&words[..], &["--partition", "0", "--partition", "1", "--max", "3"]].concat();
    let output = folder.run(&words).await;
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 3);
    let missing = [&words[..], &["--partition", "99"]].concat();
    let output = folder.run(&missing).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("no partition 99, but 2"), "{error}");
    let none = folder.run(&[&words[..], &["--since", "2100-01-01T00:00:00Z"]].concat()).await;
    assert!(none.status.success() && none.stdout.is_empty());

    std::fs::write(folder.path("records.ndjson"), &text).unwrap();
    let (code, text) = folder.test(&["records.ndjson"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("  value     trap\n"), "{text}");
    assert!(text.contains("  header    kind: 0xff\n"), "{text}");
    assert!(text.ends_with("5 records: 4 applied, 1 trap\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_larger_than_the_producers_queue_is_written() {
    let kafka = shared_kafka();
    let config = ProducerConfig::new(kafka.bootstrap());
    ensure_topic(&config, NewTopic::new("large-file", 1)).await.unwrap();
    let folder = TempDir::new().unwrap();
    let line = format!("{{\"value\":\"{}\"}}\n", "x".repeat(500_000));
    let records = line.repeat(150);
    assert!(records.len() > config.queue_bytes_max);
    std::fs::write(folder.path().join("records.ndjson"), records).unwrap();
    let brokers = kafka.bootstrap();
    let produce = async |topic: &str| {
        let words = ["produce", "records.ndjson", "--kafka", &brokers, "--topic", topic];
        let output = doorbuster().args(words).current_dir(folder.path()).output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = produce("large-file").await;
    assert_eq!(code, Some(0), "{error}");
    assert!(error.contains("150 records written to large-file"), "{error}");
    let (code, error) = produce("no-such-topic").await;
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("line 1 was not acknowledged"), "{error}");
}
