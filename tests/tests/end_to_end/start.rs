//! Errors are reported at the start, with the file and the line, or with the import.

use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use pipeline_tests::{Pipeline, Store, Wiring, doorbuster, eventually, root};
use sale::Sale;
use test_servers::{
    Kafka, KafkaConfig, ValkeyConfig, WAIT_LIMIT, free_port, shared_kafka, start_valkey,
};
use tokio::time::timeout;

async fn start(change: impl Fn(&str) -> String) -> (Option<i32>, String) {
    let manifest = std::fs::read_to_string(root().join("spin-fused.toml")).unwrap();
    // In the same folder as the real manifest, because of its relative paths.
    let file = tempfile::Builder::new()
        .prefix("spin-")
        .suffix(".toml")
        .tempfile_in(root().join("target"))
        .unwrap();
    std::fs::write(file.path(), change(&manifest).replace("target/components", "components"))
        .unwrap();
    let output = doorbuster()
        .args(["up", "--from", file.path().to_str().unwrap(), "--listen", "127.0.0.1:0"])
        .args(["--valkey", "redis://127.0.0.1:1"])
        .kill_on_drop(true)
        .output();
    let output = timeout(WAIT_LIMIT, output).await.expect("it started").unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.stdout.is_empty(),
        "no success is reported: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    (output.status.code(), error)
}

#[tokio::test]
async fn faults_name_the_file_and_the_line_or_the_import() {
    type Change = fn(&str) -> String;
    let cases: [(Change, &[&str]); 10] = [
        (|m| m.replace("[application]", "[aplication]"), &[".toml:5:", "aplication"]),
        (|m| m.replace("pipeline.wasm", "nothing.wasm"), &["nothing.wasm", "build it first"]),
        (|m| m.replace("pipeline.wasm", "../../Cargo.toml"), &["Cargo.toml", "component"]),
        (
            |m| {
                let digest = "0".repeat(64);
                let remote = format!(
                    "{{ url = \"http://127.0.0.1:1/a.wasm\", digest = \"sha256:{digest}\" }}"
                );
                m.replace("\"target/components/pipeline.wasm\"", &remote)
            },
            &["cannot download http://127.0.0.1:1/a.wasm"],
        ),
        (|m| m.replace("route = \"/purchase\"", "route = \"/purchase?x\""), &[".toml:", "`?`"]),
        (|m| m.replace("[[trigger.http]]", "[[trigger.htpp]]"), &[".toml:", "htpp", "http, kafka"]),
        (
            |m| {
                m.replacen(
                    "[[trigger.http]]",
                    "[application.trigger.http]\nbase = \"/api\"\n[[trigger.http]]",
                    1,
                )
            },
            &[".toml:", "`base`"],
        ),
        (|m| m.replace("\ngroup = ", "\ngrupo = "), &[".toml:", "grupo"]),
        (
            |m| m.replace("\"tcp://{{ kafka_brokers }}\", ", ""),
            &["spin-kafka:events/producer", "allowed_outbound_hosts"],
        ),
        (|m| m.replace("pipeline.wasm", "ingest.wasm"), &["doorbuster:sales/intake@0.2.0"]),
    ];
    for (change, expected) in cases {
        let (code, error) = start(change).await;
        assert_eq!(code, Some(1), "{error}");
        for text in expected {
            assert!(error.contains(text), "`{text}` is not in:\n{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_may_start_after_the_program() {
    let port = free_port().unwrap();
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let brokers = format!("127.0.0.1:{port}");
    let pipeline =
        Pipeline::on_topic(Wiring::Fused, &brokers, &valkey.url(), "brokers-later").await.unwrap();
    let sale = Sale { category: 1, product_id: "tv".into(), price: 9.99, quantity: 1 };
    let client = pipeline.client();
    let refused = client.post("/purchase", sale.to_json()).await.unwrap();
    assert_eq!(refused.status, 503, "no broker can accept the sale yet");
    let kafka = Kafka::start(KafkaConfig { port: Some(port), ..KafkaConfig::default() });
    let kafka = kafka.await.unwrap();
    eventually("the sale is accepted", async || {
        let answer = client.post("/purchase", sale.to_json()).await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
    let store = pipeline.store().await.unwrap();
    eventually("the sale is counted", async || (store.total().await >= 1).then_some(())).await;
    pipeline.stop().await.unwrap();
    kafka.stop().await.unwrap();
}

#[tokio::test]
async fn help_lists_the_commands() {
    let output = doorbuster().args(["up", "--help"]).output().await.unwrap();
    let help = String::from_utf8_lossy(&output.stdout);
    for option in ["--kafka", "--valkey", "--listen", "--variable", "--from"] {
        assert!(help.contains(option), "{option}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_break_a_guarantee_are_logged() {
    let kafka = shared_kafka();
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let store = Store::connect(&valkey.url()).await.unwrap();
    store.configure("maxmemory", "100mb").await.unwrap();
    store.configure("maxmemory-policy", "allkeys-lru").await.unwrap();
    let settings = [("cleanup.policy", "compact"), ("retention.ms", "3600000")];
    let topic = NewTopic { settings: &settings, ..NewTopic::new("unsafe", 1) };
    ensure_topic(&ProducerConfig::new(kafka.bootstrap()), topic).await.unwrap();
    let pipeline = Pipeline::on_topic(Wiring::Fused, &kafka.bootstrap(), &valkey.url(), "unsafe")
        .await
        .unwrap();
    eventually("the warnings", async || {
        let log = pipeline.log();
        let warnings = ["cleanup.policy is compact", "maxmemory-policy is allkeys-lru"];
        warnings.iter().all(|text| log.contains(text)).then_some(())
    })
    .await;
    pipeline.stop().await.unwrap();
}
