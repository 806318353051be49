//! `analytics`: an event for each request, and requests that are counted once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use component_host::{Capability, Limits};
use futures::future::join_all;
use host_producer::{Header, NewTopic, OutgoingRecord, Producer, ProducerConfig, ensure_topic};
use http::Method;
use kafka_trigger::ProducerCapability;
use pipeline_tests::{Client, Launch, Pipeline, Store, eventually, root};
use serde_json::{Value, json};
use test_servers::{ValkeyConfig, shared_kafka, start_valkey};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpSocket, TcpStream};

use crate::event_ingest::captured;
use crate::gateway::nobody;
use crate::guests::{limits, load_with, serve_app};

/// A component whose answers have several statuses, behind `analytics` with the producer of the host.
const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "analytics"
[[trigger.http]]
route = "/..."
component = "service"
dependencies.middleware = [
    { component = "analytics", inherit_configuration = ["allowed_outbound_hosts", "variables"] },
]
[component.service]
source = "components/exports_both.wasm"
allowed_outbound_hosts = ["tcp://127.0.0.1:*"]
variables = { analytics_topic = "TOPIC", analytics_routes = "ROUTES" }
[component.analytics]
source = "components/analytics.wasm"
"#;

/// Serves [`MANIFEST`] with these routes, and with a producer for this broker.
async fn start(broker: &str, topic: &str, routes: &str) -> Client {
    let text = MANIFEST.replace("TOPIC", topic).replace("ROUTES", routes);
    // An answer that waited for an event of an outage would be 504. One instance, whose components need
    // a memory each: its task runs as long as there are requests.
    let limits = Limits { request_timeout: Duration::from_secs(60), instances_max: 3, ..limits() };
    let config = ProducerConfig {
        unreachable_timeout_ms: 120_000,
        delivery_timeout_ms: 120_000,
        ..ProducerConfig::new(broker)
    };
    let producer: Arc<dyn Capability> = Arc::new(ProducerCapability::new(config).unwrap());
    serve_app(load_with(&text, &limits, &[producer], &[]).unwrap(), limits).await
}

/// The events of a topic by id. An event may be written twice, but only with the same value.
pub(super) async fn events(brokers: &str, topic: &str) -> BTreeMap<String, Value> {
    let records = captured(brokers, topic).await;
    let records = records.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let event = |record: Value| {
        let value: Value = serde_json::from_str(record["value"].as_str().unwrap()).unwrap();
        let id = value["id"].as_str().unwrap().to_owned();
        assert_eq!((record["key"].as_str(), id.len()), (Some(&*id), 32), "{record}");
        let header = &record["headers"][0];
        assert_eq!(
            (header["name"].as_str(), &header["value"]),
            (Some("idempotency-key"), &record["key"])
        );
        (id, value)
    };
    let mut events = BTreeMap::new();
    for (id, value) in records.map(event) {
        if let Some(other) = events.insert(id, value.clone()) {
            assert_eq!(other, value);
        }
    }
    events
}

/// The sum of each series.
fn series(events: &BTreeMap<String, Value>) -> BTreeMap<String, u64> {
    let mut series = BTreeMap::new();
    for event in events.values() {
        let name = event["series"].as_str().unwrap().to_owned();
        *series.entry(name).or_default() += event["requests"].as_u64().unwrap();
    }
    series
}

/// Connects clients of this port to the broker from now on.
fn forward(socket: TcpSocket, broker: String) {
    let listener = socket.listen(16).unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let broker = broker.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(broker).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_do_not_wait_for_events_which_are_written_after_an_outage() {
    const TOPIC: &str = "requests-after-an-outage";
    let brokers = shared_kafka().bootstrap();
    ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new(TOPIC, 3)).await.unwrap();
    let (socket, url) = nobody();
    let broker = url.trim_start_matches("http://");
    let client = start(broker, TOPIC, "/request, /items/:id, /status, /again").await;
    let mut requests = Vec::new();
    for n in 0..30 {
        let (method, path) = match n % 3 {
            0 => (Method::GET, "/request?token=secret"),
            1 => (Method::PUT, "/items/ada"),
            _ => (Method::POST, "/elsewhere/ada"),
        };
        requests.push(client.send(method, path, &[("x-secret", "secret")], "secret"));
    }
    // No event can be written yet.
    for answer in join_all(requests).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // A component that fails: the status is that of the answer.
    let answer = client.send(Method::GET, "/status", &[], "").await.unwrap();
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert_eq!(series(&events(&brokers, TOPIC).await), BTreeMap::new());
    forward(socket, brokers.clone());
    let all = eventually("all events are written", async || {
        // A task that has ended, because the last request was long ago, begins again with this one.
        client.send(Method::GET, "/again", &[], "").await.unwrap();
        let events = events(&brokers, TOPIC).await;
        let is_again = |event: &Value| event["route"] == "/again";
        (events.values().filter(|event| !is_again(event)).count() >= 31).then_some(events)
    })
    .await;
    for event in all.values() {
        let text = event.to_string();
        assert!(!text.contains("secret") && !text.contains("ada"), "{text}");
        assert!(event["duration_us"].as_u64().unwrap() > 0, "{text}");
        assert_eq!(event["dropped"], 0);
    }
    let mut written = series(&all);
    written.remove("GET /again 200");
    let expected = [
        ("GET /request 200", 10),
        ("GET /status 500", 1),
        ("POST other 200", 10),
        ("PUT /items/:id 200", 10),
    ];
    assert_eq!(written, expected.map(|(name, count)| (name.to_owned(), count)).into());
    // A trap ends the instance, with its list. The next one continues.
    assert_eq!(client.send(Method::GET, "/trap", &[], "").await.unwrap().status, 500);
    let written = eventually("the next event is written", async || {
        client.send(Method::POST, "/again", &[], "").await.unwrap();
        let written = series(&events(&brokers, TOPIC).await);
        written.contains_key("POST /again 200").then_some(written)
    })
    .await;
    assert!(!written.contains_key("GET other 500"), "{written:?}");
    // Settings that are not valid let nothing pass.
    let client = start(broker, TOPIC, "request").await;
    assert_eq!(client.send(Method::GET, "/request", &[], "").await.unwrap().status, 502);
}

/// Sends requests with several routes and statuses, and adds them to those that are expected.
async fn send(client: &Client, rounds: u64, expected: &mut BTreeMap<String, u64>) {
    let json = ("content-type", "application/json");
    let requests = [
        (Method::POST, "/orders", Some(json), "{}", "POST /orders 200"),
        (Method::POST, "/orders?a=b", Some(json), "{", "POST /orders 400"),
        (Method::POST, "/orders", None, "{}", "POST /orders 415"),
        (Method::GET, "/orders", None, "", "GET /orders 405"),
        (Method::GET, "/orders/7", None, "", "GET /orders/:id 404"),
        (Method::GET, "/a/b/c", None, "", "GET other 404"),
    ];
    for _ in 0..rounds {
        let answers = requests.iter().map(async |(method, path, field, body, series)| {
            let fields: Vec<_> = field.iter().copied().collect();
            let answer = client.send(method.clone(), path, &fields, *body).await.unwrap();
            assert!(series.ends_with(answer.status.as_str()), "{series}: {}", answer.text());
            *series
        });
        for series in join_all(answers).await {
            *expected.entry(series.into()).or_default() += 1;
        }
    }
}

/// The series of the records at the ends of partitions.
const MARK: &str = "mark";

/// Writes a record at the end of each partition. When these are counted, everything before them is.
async fn mark_ends(brokers: &str, topic: &str, expected: &mut BTreeMap<String, u64>) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let time_ms = u64::try_from(since.as_millis()).unwrap();
    let records = (0..3).map(|partition| {
        let id = format!("{partition:032x}");
        let value = json!({
            "id": id, "time_ms": time_ms, "series": MARK, "duration_us": 1, "requests": 1, "dropped": 0
        });
        let key = Some(id.into_bytes());
        let header = Header { name: "idempotency-key".into(), value: key.clone() };
        OutgoingRecord {
            topic: topic.into(),
            partition: Some(partition),
            key,
            value: Some(value.to_string().into_bytes()),
            headers: vec![header],
            ..OutgoingRecord::default()
        }
    });
    let producer = Producer::new(ProducerConfig::new(brokers)).unwrap();
    producer.send(records.collect()).await.unwrap();
    expected.insert(MARK.into(), 3);
}

/// `examples/request-counts` twice; one of them is killed.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_once_across_a_kill() {
    const TOPIC: &str = "request-counts";
    let (kafka, valkey) = (shared_kafka(), start_valkey(ValkeyConfig::default()).await.unwrap());
    let brokers = kafka.bootstrap();
    for topic in [TOPIC, "counted-orders"] {
        ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new(topic, 3)).await.unwrap();
    }
    // The shortest time after which a member that was killed loses its partitions.
    let folder = tempfile::TempDir::new().unwrap();
    let manifest = folder.path().join("spin.toml");
    let line = "\nbrokers = \"{{ kafka_brokers }}\"\n";
    let times = format!("{line}session_timeout_ms = 6000\ndrain_deadline_ms = 3000\n");
    let example =
        std::fs::read_to_string(root().join("examples/request-counts/spin.toml")).unwrap();
    let target = format!("{}/target/", root().display());
    let example = example.replace("../../target/", &target).replace(line, &times);
    std::fs::write(&manifest, example).unwrap();
    let launch = Launch::new(manifest, &brokers, valkey.url(), TOPIC)
        .variable("requests_topic", TOPIC)
        .variable("orders_topic", "counted-orders");
    let (killed, running) = tokio::join!(Pipeline::launch(&launch), Pipeline::launch(&launch));
    let (killed, running) = (killed.unwrap(), running.unwrap());
    let (client, store) = (running.client(), Store::connect(&valkey.url()).await.unwrap());
    let mut expected = BTreeMap::new();
    send(&client, 20, &mut expected).await;
    let total = |sums: BTreeMap<String, u64>| sums.values().sum::<u64>();
    eventually("requests are counted", async || {
        (total(store.request_sums("requests").await.unwrap()) > 30).then_some(())
    })
    .await;
    let kill = async { killed.kill().await.unwrap() };
    tokio::join!(kill, send(&client, 20, &mut expected));
    eventually("all requests are counted", async || {
        (total(store.request_sums("requests").await.unwrap()) >= 240).then_some(())
    })
    .await;
    mark_ends(&brokers, TOPIC, &mut expected).await;
    eventually("the topic is counted to its end", async || {
        let marks = store.request_sums("requests").await.unwrap().get(MARK).copied();
        (marks >= expected.get(MARK).copied()).then_some(())
    })
    .await;
    assert_eq!(
        store.request_sums("requests").await.unwrap(),
        expected,
        "with repetitions of records, if any"
    );
    assert_eq!(total(store.request_sums("dropped").await.unwrap()), 0);
    let slowest = store.request_sums("slowest_us").await.unwrap();
    assert!(slowest.values().all(|us| *us > 0) && slowest.len() == expected.len(), "{slowest:?}");
    // A program that is stopped writes the events of its last requests.
    send(&client, 1, &mut expected).await;
    running.stop().await.unwrap();
    assert_eq!(events(&brokers, TOPIC).await.len() as u64, total(expected));
}
