//! The Kafka producer in WebAssembly, used by the writer, as in Spin's HTTP trigger. Valkey is used
//! through the component `valkey`, too.

use std::path::Path;

use clap::Parser as _;
use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use pipeline_tests::{Launch, Pipeline, Store, eventually, root};
use tempfile::NamedTempFile;
use test_servers::{
    Kafka, KafkaConfig, Valkey, ValkeyConfig, WAIT_LIMIT, shared_kafka, start_valkey,
};

/// Number of sales of the load, during which a broker is restarted.
const SALES: u64 = 40_000;

/// Number of concurrent calls.
const CONNECTIONS: &str = "64";

const SALE: &str = r#"{"categoria":1,"producto_id":"tv","precio":1.5,"cantidad_vendida":1}"#;

#[derive(clap::Parser)]
struct Load {
    #[command(flatten)]
    args: load::Args,
}

/// The fused wiring without the clients of the host, with this change.
fn manifest(change: impl Fn(String) -> String) -> NamedTempFile {
    let text = std::fs::read_to_string(root().join("spin-fused.toml")).unwrap();
    let own: Vec<_> = text.lines().filter(|line| !line.starts_with("provide = ")).collect();
    let own = own.join("\n");
    assert_ne!(own, text.trim_end());
    let own = change(own.replace("target/components", "components"));
    let file = tempfile::Builder::new().suffix(".toml").tempfile_in(root().join("target"));
    let file = file.unwrap();
    std::fs::write(file.path(), own).unwrap();
    file
}

async fn start(manifest: &Path, kafka: &Kafka, valkey: &Valkey, topic: &str) -> Pipeline {
    let launch = Launch::new(manifest, kafka.bootstrap(), valkey.url(), topic)
        .variable("kafka_topic", topic)
        .variable("kafka_group", topic);
    Pipeline::launch(&launch).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_restart_loses_and_doubles_nothing() {
    let mut kafka = Kafka::start(KafkaConfig::default()).await.unwrap();
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    // Longer than a restart, so no sale may fail.
    let patient = r#"variables = { kafka_delivery_timeout_ms = "60000", kafka_unreachable_timeout_ms = "60000", kafka_brokers"#;
    let manifest = manifest(|text| text.replace("variables = { kafka_brokers", patient));
    let pipeline = start(manifest.path(), &kafka, &valkey, "restarted").await;
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("ledger.ndjson");
    let (url, sales) = (pipeline.purchase_url(), SALES.to_string());
    // Without keys, a sale that was written twice is counted twice.
    let load = Load::parse_from([
        "load",
        "--url",
        &url,
        "-n",
        &sales,
        "-c",
        CONNECTIONS,
        "--without-keys",
        "--quiet",
        "--ledger",
        ledger.to_str().unwrap(),
    ]);
    let load = tokio::spawn(load::run(load.args, load::Stop::never()));
    let store = Store::connect(&valkey.url()).await.unwrap();
    eventually("the load is in progress", async || (store.total().await > SALES / 8).then_some(()))
        .await;
    kafka.kill().await.unwrap();
    let kafka = kafka.restart().await.unwrap();
    let summary = load.await.unwrap().unwrap();
    assert!(summary.all_accepted(), "{summary:?}\n{}", pipeline.log());
    let report = ledger::verify::verify(&ledger, &valkey.url(), "", WAIT_LIMIT).await;
    let report = report.unwrap();
    assert!(report.agrees(), "{report:?}\n{}", pipeline.log());
    assert_eq!(report.counted, SALES);
    read_by_java(&kafka).await;
}

/// Java's consumer reads every record of every batch.
async fn read_by_java(kafka: &Kafka) {
    let read = [
        "--topic",
        "restarted",
        "--from-beginning",
        "--max-messages",
        &SALES.to_string(),
        "--timeout-ms",
        "60000",
    ];
    let class = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    let records = kafka.tool(class, &read).await.unwrap();
    let sales = records.lines().filter(|line| line.contains("\"producto_id\"")).count();
    assert_eq!(u64::try_from(sales).unwrap(), SALES);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_closed() {
    let kafka = Kafka::start(KafkaConfig::default()).await.unwrap();
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let manifest = manifest(|text| text);
    let pipeline = start(manifest.path(), &kafka, &valkey, "rest").await;
    let client = pipeline.client();
    let store = Store::connect(&valkey.url()).await.unwrap();
    assert_eq!(client.post("/purchase", SALE).await.unwrap().status, 200);
    eventually("it is counted", async || (store.total().await == 1).then_some(())).await;
    // The connections of the consumer, and those of the instance that has just written.
    let awake = connections(kafka.port());
    for _ in 0..8 {
        let sales = (0..64).map(|_| client.post("/purchase", SALE));
        for answer in futures::future::join_all(sales).await {
            let answer = answer.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
    eventually("only the consumer's connections are left", async || {
        (connections(kafka.port()) < awake).then_some(())
    })
    .await;
    assert_eq!(client.post("/purchase", SALE).await.unwrap().status, 200, "and it wakes up");
}

/// The number of established connections to this port of the loopback interface.
fn connections(port: u16) -> usize {
    const ESTABLISHED: &str = "01";
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let to_port = format!(":{port:04X}");
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines = table.lines().skip(1).map(fields);
    lines.filter(|fields| fields[2].ends_with(&to_port) && fields[3] == ESTABLISHED).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_the_refused_item() {
    let kafka = shared_kafka();
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    ensure_topic(&ProducerConfig::new(kafka.bootstrap()), NewTopic::new("there", 1)).await.unwrap();
    let port = kafka.port();
    type Change = Box<dyn Fn(String) -> String>;
    let cases: [(Change, String); 5] = [
        (
            Box::new(|text| text.replace("\"tcp://{{ kafka_brokers }}\", ", "")),
            format!("\"tcp://127.0.0.1:{port}\""),
        ),
        (
            Box::new(move |text| {
                let named = format!("kafka_brokers = \"kafka.invalid:{port}\"");
                text.replace("kafka_brokers = \"{{ kafka_brokers }}\"", &named)
            }),
            "the look-up of kafka.invalid was refused".into(),
        ),
        (
            Box::new(|text| {
                let given = "kafka_sasl_mechanism = \"{{ kafka_sasl_mechanism }}\"";
                text.replace(given, "kafka_sasl_mechanism = \"GSSAPI\"")
            }),
            "kafka_sasl_mechanism".into(),
        ),
        (
            Box::new(|text| {
                let given = "kafka_security = \"{{ kafka_security }}\"";
                text.replace(given, "kafka_security = \"sasl_ssl\"")
            }),
            "does not support TLS".into(),
        ),
        (
            Box::new(|text| {
                let other = "kafka_topic = \"nowhere\"";
                text.replace("kafka_topic = \"{{ kafka_topic }}\"", other)
            }),
            "nowhere".into(),
        ),
    ];
    for (change, expected) in cases {
        let manifest = manifest(&change);
        let pipeline = start(manifest.path(), kafka, &valkey, "there").await;
        let answer = pipeline.client().post("/purchase", SALE).await.unwrap();
        assert_eq!(answer.status, 502, "{}", answer.text());
        eventually("the log says why", async || pipeline.log().contains(&expected).then_some(()))
            .await;
    }
}
