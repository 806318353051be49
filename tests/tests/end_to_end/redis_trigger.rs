//! Spin's Redis trigger with a real Valkey, and components of the SDKs for both of its interfaces.

use std::collections::BTreeMap;
use std::time::Duration;

use component_host::{Caller, Limits};
use http::{Method, StatusCode};
use pipeline_tests::{Client, Launch, Pipeline, Store, eventually, in_time, root};
use redis_trigger::{FailureClass, MessageHandler};
use test_servers::{ValkeyConfig, free_port, shared_kafka, start_valkey};

use crate::guests::{limits, load_with};
use crate::metrics::{OF_REDIS, Shape, listed_in_metrics_md, served};

/// One component gets the messages of two channels at two addresses. The user of the common address may
/// only subscribe to `news`.
const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "messages"
[application.trigger.redis]
address = "redis://listener:{{ password }}@{{ valkey_address }}"
[variables]
valkey_url = { required = true }
valkey_address = { required = true }
kafka_brokers = { required = true }
password = { required = true, secret = true }
other = { default = "other" }

[[trigger.redis]]
channel = "news"
component = "older"
[[trigger.redis]]
channel = "news"
component = "current"
[[trigger.redis]]
address = "{{ valkey_url }}"
channel = "{{ other }}"
component = "current"

[component.older]
source = "COMPONENTS/receives_sdk_5.wasm"
allowed_outbound_hosts = ["redis://{{ valkey_address }}"]
variables = { redis_address = "{{ valkey_url }}", list = "older" }

[component.current]
source = "COMPONENTS/receives_sdk_6.wasm"
allowed_outbound_hosts = ["redis://{{ valkey_address }}"]
variables = { redis_address = "{{ valkey_url }}", list = "current" }

[[trigger.http]]
route = "/..."
component = "served"
[component.served]
source = "COMPONENTS/wasi_p2.wasm"

[[trigger.kafka]]
brokers = "{{ kafka_brokers }}"
topic = "TOPIC"
group = "TOPIC"
component = "consumer"
[component.consumer]
source = "COMPONENTS/fails_on_command.wasm"
"#;

const TOPIC: &str = "beside-redis";

/// The user of the common address, as arguments of the server.
const USER: &str = "--user listener on >hunter2 resetchannels &news -@all +subscribe";

const LISTS: [&str; 2] = ["older", "current"];

async fn publish(store: &Store, channel: &str, message: &str) {
    store.command(&["PUBLISH", channel, message]).await.unwrap();
}

/// Waits until a list has this length, and returns it.
async fn received(store: &Store, list: &str, length: usize) -> Vec<String> {
    eventually("the messages are received", async || {
        let found = store.list(list).await.ok()?;
        (found.len() >= length).then_some(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_handled_in_order_across_failures_and_a_restart_of_the_server() {
    let arguments = USER.split(' ').map(str::to_owned).collect();
    let config = ValkeyConfig { arguments, ..ValkeyConfig::default() };
    let valkey = start_valkey(config).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("spin.toml");
    let components = root().join("target/components").display().to_string();
    let text = MANIFEST.replace("COMPONENTS", &components).replace("TOPIC", TOPIC);
    std::fs::write(&manifest, text).unwrap();
    let brokers = shared_kafka().bootstrap();
    let mut launch =
        Launch::new(&manifest, brokers, valkey.url(), TOPIC).variable("password", "hunter2");
    let operator = format!("127.0.0.1:{}", free_port().unwrap());
    launch.envs.push(("DOORBUSTER_OPERATOR".into(), operator.clone()));
    let running = Pipeline::launch(&launch).await.unwrap();
    let operator = Client::new(&format!("http://{operator}"));
    let get = async |path: &str| operator.send(Method::GET, path, &[], "").await;
    let ready = async |status: StatusCode, part: &str| {
        eventually("the expected readiness", async || {
            let answer = get("/readyz").await.ok()?;
            (answer.status == status && answer.text().contains(part)).then_some(())
        })
        .await;
    };
    ready(StatusCode::OK, "ok").await;
    let answer = running.client().send(Method::GET, "/", &[], "").await.unwrap();
    assert!(answer.status.is_success(), "{}", answer.text());

    let store = Store::connect(&valkey.url()).await.unwrap();
    let mut expected = Vec::new();
    for number in 0..200 {
        publish(&store, "news", &number.to_string()).await;
        expected.push(number.to_string());
        match number {
            20 => publish(&store, "news", "fail").await,
            40 => publish(&store, "news", "trap").await,
            60 => publish(&store, "news", &"x".repeat((16 << 20) + 1)).await,
            80 => {
                publish(&store, "news", &"x".repeat(1 << 20)).await;
                expected.push("1048576 bytes".into());
            }
            _ => {}
        }
    }
    for list in LISTS {
        assert_eq!(received(&store, list, expected.len()).await, expected, "{list}");
    }
    publish(&store, "other", "last").await;
    expected.push("last".into());
    assert_eq!(received(&store, "current", expected.len()).await, expected);
    let server = format!("server=\"127.0.0.1:{}\"", valkey.port());
    let dropped = |reason: &str, count: u32| {
        format!("dropped_messages_total{{{server},channel=\"news\",reason=\"{reason}\"}} {count}")
    };
    let lines = [
        format!("connected{{{server}}} 2"),
        format!("lost_connections_total{{{server}}} 0"),
        format!("messages_waiting{{{server}}} 0"),
        format!("messages_total{{{server},channel=\"news\"}} 204"),
        format!("messages_total{{{server},channel=\"other\"}} 1"),
        dropped("too-long", 1),
        dropped("queue-full", 0),
        "handled_messages_total{component=\"older\"} 201".into(),
        "handled_messages_total{component=\"current\"} 202".into(),
        "failed_messages_total{component=\"older\",class=\"error\"} 1".into(),
        "failed_messages_total{component=\"current\",class=\"trap\"} 1".into(),
        "failed_messages_total{component=\"current\",class=\"unavailable\"} 0".into(),
        "handler_seconds_count{component=\"older\"} 203".into(),
    ];
    let counted = in_time("the messages are counted", async || {
        let metrics = get("/metrics").await.ok()?.text();
        let is_there = |line: &String| metrics.lines().any(|l| l == format!("spin_redis_{line}"));
        lines.iter().all(is_there).then_some(())
    });
    if let Err(late) = counted.await {
        panic!("{late}: {lines:#?}\n{}", get("/metrics").await.unwrap().text());
    }
    let of_redis = |mut metrics: BTreeMap<String, Shape>| {
        metrics.retain(|name, _| name.starts_with(OF_REDIS));
        metrics
    };
    let metrics = served(&get("/metrics").await.unwrap().text());
    assert_eq!(of_redis(metrics), of_redis(listed_in_metrics_md()), "metrics.md");

    let valkey = valkey.restart().await.unwrap();
    let store = Store::connect(&valkey.url()).await.unwrap();
    // A message is lost until the trigger is connected again.
    eventually("the trigger is connected again", async || {
        publish(&store, "news", "again").await;
        let lists = [store.list("older").await.ok()?, store.list("current").await.ok()?];
        lists.iter().all(|list| !list.is_empty()).then_some(())
    })
    .await;
    drop(valkey);
    let lost = "not subscribed to the channels of Redis at 127.0.0.1:";
    ready(StatusCode::SERVICE_UNAVAILABLE, lost).await;
    let health = get("/healthz").await.unwrap();
    assert_eq!(health.status, StatusCode::OK, "a restart would not help");
    eventually("the reasons are logged", async || {
        let log = running.log();
        (log.contains("the message asks for an error") && log.contains("too-long")).then_some(())
    })
    .await;
    let log = running.log();
    assert!(!log.contains("hunter2"), "{log}");
    running.stop().await.unwrap();
}

/// The components without what they need to handle a message.
const ALONE: &str = r#"
spin_manifest_version = 2
[application]
name = "messages"
[[trigger.redis]]
channel = "news"
component = "older"
[component.older]
source = "components/receives_sdk_5.wasm"
[[trigger.redis]]
channel = "news"
component = "current"
[component.current]
source = "components/receives_sdk_6.wasm"
[[trigger.http]]
route = "/"
component = "neither"
[component.neither]
source = "components/wasi_p2.wasm"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_has_a_class_and_affects_only_its_message() {
    let capabilities = stores::capabilities(&stores::StoresConfig::default());
    let host = load_with(ALONE, &limits(), &capabilities, &[]).unwrap();
    // A busy machine handles a message sooner, except that which reaches the limit.
    let (long, short) = (Duration::from_secs(600), Duration::from_secs(5));
    let find = |component: &str, limit| MessageHandler::find(&host, component, limit);
    for (message, limit, class) in [
        ("fail", long, FailureClass::Error),
        ("trap", long, FailureClass::Trap),
        ("grow", long, FailureClass::Memory),
        ("hang", short, FailureClass::Deadline),
        // Variables are missing.
        ("text", long, FailureClass::Error),
    ] {
        let handlers = LISTS.map(|component| find(component, limit).unwrap());
        let calls = handlers.iter().map(|handler| handler.handle("news", message.as_bytes()));
        for failure in futures::future::join_all(calls).await {
            assert_eq!(failure.clone().unwrap_err().class, class, "{message}: {failure:?}");
        }
    }
    let error = find("neither", long).map(drop).unwrap_err().to_string();
    assert!(error.contains("`neither` exports neither"), "{error}");
    let error = find("unknown", long).map(drop).unwrap_err().to_string();
    assert!(error.contains("the host has not loaded it"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_waits_for_a_free_instance() {
    let capabilities = stores::capabilities(&stores::StoresConfig::default());
    let single = Limits { instances_max: 1, ..limits() };
    let host = load_with(ALONE, &single, &capabilities, &[]).unwrap();
    let find = |limit| MessageHandler::find(&host, "older", Duration::from_secs(limit)).unwrap();
    let (patient, impatient) = (find(600), find(1));
    let only = host.guest("older").unwrap().instantiate().await.unwrap();
    let failure = impatient.handle("news", b"fail").await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Unavailable, "{failure:?}");
    // The message is passed on first.
    let (failure, ()) = tokio::join!(patient.handle("news", b"fail"), async { drop(only) });
    let failure = failure.unwrap_err();
    assert_eq!(failure.class, FailureClass::Error, "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_builds_are_replaced_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let build = |component: &str, source: &str| {
        let source = root().join("target/components").join(source);
        std::fs::copy(source, folder.path().join(format!("{component}.wasm"))).unwrap();
    };
    let (sdk_5, sdk_6) = ("receives_sdk_5.wasm", "receives_sdk_6.wasm");
    build("older", sdk_5);
    build("current", sdk_6);
    let folder = folder.path().display().to_string();
    let text = ALONE
        .replace(&format!("components/{sdk_5}"), &format!("{folder}/older.wasm"))
        .replace(&format!("components/{sdk_6}"), &format!("{folder}/current.wasm"));
    let capabilities = stores::capabilities(&stores::StoresConfig::default());
    let host = load_with(&text, &limits(), &capabilities, &[]).unwrap();
    let find =
        |component| MessageHandler::find(&host, component, Duration::from_secs(600)).unwrap();
    let handlers = LISTS.map(find);
    let callers = handlers.clone().map(|handler| Box::new(handler) as Box<dyn Caller>);
    // Only the newer interface has a text.
    let reasons = async || {
        let calls = handlers.iter().map(|handler| handler.handle("news", b"fail"));
        let failures = futures::future::join_all(calls).await;
        failures.into_iter().map(|failure| failure.unwrap_err().reason).collect::<Vec<_>>()
    };
    let (of_sdk_5, of_sdk_6) = ("Error", "the message asks for an error");
    assert_eq!(reasons().await, [of_sdk_5, of_sdk_6]);

    build("older", sdk_6);
    build("current", "wasi_p2.wasm");
    let refused = host.reload(&callers).unwrap_err().to_string();
    assert!(refused.contains("`current` exports neither"), "{refused}");
    assert_eq!(reasons().await, [of_sdk_5, of_sdk_6], "the other build was not replaced, either");
    assert!(host.guest("older").unwrap().exports("fermyon:spin/inbound-redis"));

    build("current", sdk_5);
    host.reload(&callers).unwrap();
    assert_eq!(reasons().await, [of_sdk_6, of_sdk_5]);
}
