//! Events over HTTP by configuration: the application in `examples/event-ingest`, with client
//! libraries that others wrote.

use std::process::Stdio;

use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use http::Method;
use pipeline_tests::{Client, Launch, Pipeline, root};
use serde_json::{Value, json};
use test_servers::{ValkeyConfig, python_packages, shared_kafka, start_valkey};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::letters::command;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Maximum number of keys that are tried until one is claimed within the time limit of a claim.
const KEYS_MAX: usize = 10;

const ORDER: &str = r#"{"customer": "c-1", "quantity": 2}"#;

/// Runs the clients in Python with this standard input, and returns their output.
async fn python(words: &[&str], input: &str) -> String {
    let libraries =
        ["cloudevents==2.2.0", "standardwebhooks==1.1.0", "python-dateutil==4.0.0", "six==1.17.0"];
    let words_of_pip = [&["--no-deps"], &libraries[..]].concat();
    let packages = tokio::task::spawn_blocking(move || {
        python_packages("event-clients", "2.2.0", &words_of_pip)
    });
    let mut command = Command::new("python3");
    command.arg(root().join("tests/clients/event_ingest.py")).args(words);
    command.env("PYTHONPATH", packages.await.unwrap().unwrap()).env("PYTHONUTF8", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The records of a topic, one a line.
pub async fn captured(brokers: &str, topic: &str) -> String {
    let (captured, records, error) =
        command(&["capture", "--kafka", brokers, "--topic", topic]).await;
    assert!(captured, "{error}");
    records
}

/// Sends an order, and returns the status and the field that the problem names.
async fn order(client: &Client, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let headers = [&[("content-type", "application/json")], headers].concat();
    let answer = client.send(Method::POST, "/orders", &headers, body.to_owned()).await.unwrap();
    let field = answer.json()["field"].as_str().unwrap_or_default().to_owned();
    (answer.status.as_u16(), field)
}

/// Sends an order, the same order again, and another one with the same key, which must be refused.
/// Returns the key. An order is written unchecked if its claim takes too long, so this may need
/// several keys on a slow machine.
async fn claimed_key(client: &Client) -> String {
    let other = ORDER.replace("c-1", "c-2");
    for attempt in 0..KEYS_MAX {
        let key = format!("k-{attempt}");
        let headers = [("idempotency-key", &*key), ("x-tenant", "blue"), ("x-other", "dropped")];
        for _ in 0..2 {
            assert_eq!(order(client, &headers, ORDER).await, (200, String::new()));
        }
        match order(client, &headers, &other).await.0 {
            422 => return key,
            status => assert_eq!(status, 200, "the claim took too long"),
        }
    }
    panic!("no key was claimed within the time limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn cloud_events_and_signed_webhooks_of_other_libraries_become_records() {
    let kafka = shared_kafka();
    let brokers = kafka.bootstrap();
    for topic in ["orders", "cloud-events", "webhooks", "github"] {
        ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new(topic, 1)).await.unwrap();
    }
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let manifest = root().join("examples/event-ingest/spin.toml");
    let launch = Launch::new(manifest, &brokers, valkey.url(), "")
        .variable("webhook_secret", SECRET)
        .variable("github_secret", "0123456789abcdef");
    let running = Pipeline::launch(&launch).await.unwrap();
    let client = running.client();

    let url = format!("http://{}", client.address());
    let statuses: Value = serde_json::from_str(&python(&["send", &url, SECRET], "").await).unwrap();
    let expected = json!({
        "binary": 200, "structured": 200, "batch": 200, "unknown version": 400,
        "webhook": 200, "repeated webhook": 200, "forged webhook": 401, "old webhook": 401,
    });
    assert_eq!(statuses, expected, "{}", running.log());
    let events = captured(&brokers, "cloud-events").await;
    assert_eq!(python(&["read"], &events).await, "1\n2\n3\n4\n");

    let key = claimed_key(&client).await;
    let none = ORDER.replace('2', "0");
    assert_eq!(order(&client, &[], &none).await, (400, "quantity".into()));
    // Too long for `doorbuster:http/handler`, so it is read from a stream.
    let long = format!("{ORDER}{}", " ".repeat(70_000));
    assert_eq!(order(&client, &[], &long).await, (413, "body".into()));
    let refused = client.send(Method::GET, "/orders", &[], "").await.unwrap();
    assert_eq!((refused.status.as_u16(), refused.header("allow")), (405, "POST"));
    assert_eq!(client.post("/nowhere", "{}").await.unwrap().status, 404);
    running.stop().await.unwrap();

    let orders = captured(&brokers, "orders").await;
    let headers = json!([
        {"name": "tenant", "value": "blue"}, {"name": "idempotency-key", "value": key},
    ]);
    let records = orders.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let records: Vec<_> = records.filter(|record| record["headers"] == headers).collect();
    assert_eq!(
        records.len(),
        2,
        "the retry is written, too, and the refused order is not: {orders}"
    );
    for record in records {
        assert_eq!((&record["key"], &record["value"]), (&json!("c-1"), &json!(ORDER)));
    }
    assert_eq!(captured(&brokers, "webhooks").await.lines().count(), 2);
}
