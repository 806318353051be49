//! The same components in another host, `wasmtime serve`: it calls `wasi:http/handler`, and provides
//! neither Spin's variables nor the clients of Doorbuster's host, so dependencies do.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use http::Method;
use pipeline_tests::{Answer, Client, Pipeline, Wiring, doorbuster, eventually, root};
use test_servers::{WAIT_LIMIT, shared_kafka, wasmtime_program};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::analytics::events;
use crate::gateway::{Upstream, nobody};

/// The request path in one component, with the producer and the Valkey client in WebAssembly.
const FUSED: &str = r#"
package tests:fused-elsewhere;
let variables = new tests:variables-from-environment { ... };
let valkey = new doorbuster:valkey {
    "spin:variables/variables@3.0.0": variables["spin:variables/variables@3.0.0"],
    ...
};
let producer = new doorbuster:kafka-producer {
    "spin:variables/variables@3.0.0": variables["spin:variables/variables@3.0.0"],
    ...
};
let pipeline = new doorbuster:pipeline {
    "spin:variables/variables@3.0.0": variables["spin:variables/variables@3.0.0"],
    "doorbuster:valkey/client@0.2.0": valkey["doorbuster:valkey/client@0.2.0"],
    "spin-kafka:events/producer@0.2.0": producer["spin-kafka:events/producer@0.2.0"],
    ...
};
export pipeline["wasi:http/handler@0.3.0"];
"#;

/// The first hop, which sends requests to the next one.
const CHAINED: &str = r#"
package tests:chained-elsewhere;
let variables = new tests:variables-from-environment { ... };
let client = new doorbuster:http-client { ... };
let ingest = new doorbuster:ingest-http {
    "spin:variables/variables@3.0.0": variables["spin:variables/variables@3.0.0"],
    "doorbuster:http/client@0.1.0": client["doorbuster:http/client@0.1.0"],
    ...
};
export ingest["wasi:http/handler@0.3.0"];
"#;

/// Middleware before the component that forwards requests.
const GATEWAY: &str = r#"
package tests:gateway-elsewhere;
let variables = new tests:variables-from-environment { ... };
let balance = new doorbuster:balance {
    "spin:variables/variables@3.0.0": variables["spin:variables/variables@3.0.0"],
    ...
};
let breaker = new doorbuster:breaker {
    "spin:variables/variables@3.0.0": variables["spin:variables/variables@3.0.0"],
    "wasi:http/handler@0.3.0": balance["wasi:http/handler@0.3.0"],
    ...
};
let retry = new doorbuster:retry {
    "spin:variables/variables@3.0.0": variables["spin:variables/variables@3.0.0"],
    "wasi:http/handler@0.3.0": breaker["wasi:http/handler@0.3.0"],
    ...
};
let producer = new doorbuster:kafka-producer {
    "spin:variables/variables@3.0.0": variables["spin:variables/variables@3.0.0"],
    ...
};
let analytics = new doorbuster:analytics {
    "spin:variables/variables@3.0.0": variables["spin:variables/variables@3.0.0"],
    "spin-kafka:events/producer@0.2.0": producer["spin-kafka:events/producer@0.2.0"],
    "wasi:http/handler@0.3.0": retry["wasi:http/handler@0.3.0"],
    ...
};
export analytics["wasi:http/handler@0.3.0"];
"#;

/// Method, fields and body of a request.
type RequestParts<'a> = (Method, &'a [(&'a str, &'a str)], &'a str);

/// A running `wasmtime serve`.
struct Elsewhere {
    _process: Child,
    client: Client,
}

impl Elsewhere {
    /// Composes a component and serves it with these variables.
    async fn serve(composition: &str, variables: &BTreeMap<&str, &str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (document, component) = (folder.path().join("a.wac"), folder.path().join("a.wasm"));
        std::fs::write(&document, composition).unwrap();
        let composed = doorbuster()
            .arg("compose")
            .arg(&document)
            .args(["--components", "target/components", "--output"])
            .arg(&component)
            .status();
        assert!(composed.await.unwrap().success());
        let program = tokio::task::spawn_blocking(wasmtime_program).await.unwrap().unwrap();
        let mut process = command(&program, &component, variables).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut output = String::new();
        let base = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, address)) = line.split_once("http://") {
                    return format!("http://{}", address.trim_end_matches('/'));
                }
                output.push_str(&line);
            }
            panic!("wasmtime ended: {output}")
        };
        let base = tokio::time::timeout(WAIT_LIMIT, base).await.expect("no address of wasmtime");
        // So that it can continue to write.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                eprintln!("wasmtime: {line}");
            }
        });
        Self { _process: process, client: Client::new(&base) }
    }
}

fn command(program: &Path, component: &Path, variables: &BTreeMap<&str, &str>) -> Command {
    let mut command = Command::new(program);
    command.args(["serve", "-Sp3,cli,inherit-network,allow-ip-name-lookup"]);
    command.args(["-Wcomponent-model-async", "--addr=127.0.0.1:0"]);
    for (name, value) in variables {
        command.arg(format!("--env={}={value}", name.to_uppercase()));
    }
    command.arg(component).current_dir(root());
    command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The parts of an answer that do not depend on the host or on the time.
fn comparable(answer: &Answer) -> (u16, BTreeMap<String, String>, String) {
    let varies = ["connection", "content-length", "date", "server-timing", "transfer-encoding"];
    let fields = answer.headers.iter().filter(|(name, _)| !varies.contains(&name.as_str()));
    let fields = fields.map(|(name, value)| (name.to_string(), format!("{value:?}"))).collect();
    (answer.status.as_u16(), fields, answer.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_components_answer_in_wasmtime_as_in_doorbuster() {
    let brokers = shared_kafka().bootstrap();
    let pipeline = Pipeline::start(Wiring::Chained, &brokers).await.unwrap();
    let (base, valkey_url) =
        (format!("http://127.0.0.1:{}", pipeline.port().unwrap()), pipeline.valkey_url());
    let fused = BTreeMap::from([
        ("kafka_brokers", &*brokers),
        ("kafka_topic", &pipeline.topic),
        ("valkey_url", valkey_url),
    ]);
    let fused = Elsewhere::serve(FUSED, &fused).await;
    let chained = Elsewhere::serve(CHAINED, &BTreeMap::from([("bridge_url", &*base)])).await;
    let sale = r#"{"categoria":4,"producto_id":"crema","precio":12.5,"cantidad_vendida":3}"#;
    let other = sale.replace("12.5", "13");
    let long = "x".repeat(1 << 20);
    let json = ("content-type", "application/json");
    let key = ("idempotency-key", "the-key");
    let requests: [RequestParts; 8] = [
        (Method::POST, &[json], sale),
        (Method::POST, &[json, key], sale),
        (Method::POST, &[json, key], &other),
        (Method::POST, &[json], r#"{"categoria":4}"#),
        (Method::POST, &[json], "{"),
        (Method::POST, &[("content-type", "text/plain")], sale),
        (Method::POST, &[json], &long),
        (Method::GET, &[], ""),
    ];
    let mut statuses = Vec::new();
    for (method, fields, body) in requests {
        let here = pipeline.client();
        let send = async |client: &Client| {
            let body = body.to_owned();
            let answer = client.send(method.clone(), "/purchase", fields, body).await.unwrap();
            comparable(&answer)
        };
        let expected = send(&here).await;
        statuses.push(expected.0);
        for (name, elsewhere) in [("fused", &fused), ("chained", &chained)] {
            assert_eq!(send(&elsewhere.client).await, expected, "{name}: {fields:?} {body:.80}");
        }
    }
    assert_eq!(statuses, [200, 200, 422, 400, 400, 415, 413, 405]);
    // A later sale of the same product is in the same partition: after it, none is in progress.
    let last = pipeline.client().post("/purchase", sale).await.unwrap();
    assert_eq!(last.status, 200, "{}", last.text());
    // Three without a key, one with the key that all three share, and the last.
    let expected = 5;
    let store = pipeline.store().await.unwrap();
    eventually("the sales are counted", async || (store.total().await >= expected).then_some(()))
        .await;
    assert_eq!(store.total().await, expected);
    pipeline.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_repeats_forwards_and_describes_requests_in_wasmtime() {
    const TOPIC: &str = "requests-in-wasmtime";
    let brokers = shared_kafka().bootstrap();
    ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new(TOPIC, 3)).await.unwrap();
    let upstream = Upstream::start().await;
    let (_socket, gone) = nobody();
    let urls = format!("{gone},{}", upstream.url);
    let variables = BTreeMap::from([
        ("balance_upstreams", &*urls),
        ("balance_timeout_ms", "25000"),
        ("breaker_timeout_ms", "25000"),
        ("retry_timeout_ms", "25000"),
        ("retry_initial_interval_ms", "1"),
        ("retry_attempts", "10"),
        ("balance_health_path", "/health"),
        ("kafka_brokers", &*brokers),
        ("analytics_topic", TOPIC),
        ("analytics_routes", "/fails/..., /echo"),
    ]);
    let elsewhere = Elsewhere::serve(GATEWAY, &variables).await;
    let client = &elsewhere.client;
    let answer = client.send(Method::PUT, "/fails/2/elsewhere", &[], "a body").await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(upstream.bodies("/fails/2/elsewhere"), ["a body"; 3]);
    let answer = client.send(Method::GET, "/echo?a", &[], "").await.unwrap();
    assert!(answer.text().starts_with("GET /echo?a\n"), "{}", answer.text());
    assert!(answer.text().contains("x-forwarded-proto: http\n"), "{}", answer.text());
    // The first request to an instance starts the health checks.
    eventually("the upstream is checked", async || {
        (!upstream.bodies("/health").is_empty()).then_some(())
    })
    .await;
    // The instance continues to work after its answers.
    let events = eventually("both requests are described", async || {
        Some(events(&brokers, TOPIC).await).filter(|events| events.len() == 2)
    })
    .await;
    let mut series: Vec<_> = events.values().map(|event| event["series"].to_string()).collect();
    series.sort();
    assert_eq!(series, ["\"GET /echo 200\"", "\"PUT /fails/... 200\""]);
}
