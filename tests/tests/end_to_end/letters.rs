//! Dead letters and replays of the log, with the program's commands.

use host_producer::{
    Header, NewTopic, OutgoingRecord, Producer, ProducerConfig, TopicAdmin, ensure_topic,
};
use http::Method;
use pipeline_tests::{Client, FailingApp, Launch, Pipeline, Wiring, doorbuster, eventually};
use serde_json::{Value, json};
use test_servers::{ValkeyConfig, free_port, shared_kafka, start_valkey};

const SETTINGS: &str = "poison_attempts = 1\nstalled_after_ms = 1000";
pub(super) const SALE: &str =
    r#"{"categoria":1,"producto_id":"tv","precio":1.5,"cantidad_vendida":1}"#;

/// Writes a record with these headers.
pub(super) async fn write(brokers: &str, topic: &str, value: &str, headers: &[(&str, &str)]) {
    let header = |(name, value): &(&str, &str)| Header {
        name: (*name).into(),
        value: Some((*value).into()),
    };
    let record = OutgoingRecord {
        topic: topic.into(),
        key: Some(b"tv".to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: headers.iter().map(header).collect(),
        ..OutgoingRecord::default()
    };
    let producer = Producer::new(ProducerConfig::new(brokers)).unwrap();
    producer.send(vec![record]).await.unwrap();
}

/// Runs a command of the program. Returns whether it succeeded, and its output on stdout and
/// stderr.
pub(super) async fn command(words: &[&str]) -> (bool, String, String) {
    let output = doorbuster().args(words).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_cannot_be_sent_is_named_and_the_others_are_sent() {
    let kafka = shared_kafka();
    let brokers = kafka.bootstrap();
    let app = FailingApp::new(&brokers, "stuck-letters", SETTINGS).await.unwrap();
    app.produce(&["good", "reject", "reject"]).await.unwrap();
    let running = app.up(&[]).await.unwrap();
    eventually("the letters", async || {
        (app.metric("spin_kafka_dead_letters_total").await? == 2.0).then_some(())
    })
    .await;
    running.stop().await.unwrap();
    write(&brokers, "stuck-letters.dead-letter", "x", &[]).await;
    write(&brokers, "stuck-letters.dead-letter", "x", &[("__connect.errors.topic", "gone")]).await;

    // The second time, no letter is left that can be sent.
    for _ in 0..2 {
        let error = app.command(&["dlq", "replay"]).await.unwrap_err().to_string();
        for output in [
            "stays open: it has no header __connect.errors.topic",
            "stays open: topic gone: ",
            "2 letters could not be sent back",
        ] {
            assert!(error.contains(output), "{error}");
        }
        let list = app.command(&["dlq", "list"]).await.unwrap();
        assert!(list.ends_with("2 open of 4 letters\n"), "{list}");
        assert!(!list.contains("spin-kafka.sent-back"));
    }
    let all = app.command(&["replay", "--dry-run"]).await.unwrap();
    assert_eq!(all, "5 records would be handed over\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_whose_letters_are_refused_is_unhealthy() {
    let kafka = shared_kafka();
    let brokers = kafka.bootstrap();
    let app = FailingApp::new(&brokers, "refused-letters", SETTINGS).await.unwrap();
    let small = NewTopic {
        settings: &[("max.message.bytes", "200")],
        ..NewTopic::new("refused-letters.dead-letter", 1)
    };
    ensure_topic(&ProducerConfig::new(&brokers), small).await.unwrap();
    let running = app.up(&[]).await.unwrap();
    assert!(running.log().contains("takes shorter records"), "{}", running.log());
    app.produce(&["reject"]).await.unwrap();
    let complaint = eventually("a complaint", async || {
        let (status, body) = app.get("/healthz").await?;
        (status == 503).then_some(body)
    })
    .await;
    assert!(complaint.contains("refused-letters/0"), "{complaint}");
    // The first attempt may still be in progress when the partition becomes unhealthy.
    eventually("the advice", async || {
        running.log().contains("raise the topic's max.message.bytes").then_some(())
    })
    .await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_created_dead_letter_topic_accepts_the_longest_records() {
    let kafka = shared_kafka();
    let brokers = kafka.bootstrap();
    let cluster = ProducerConfig::new(&brokers);
    let large = NewTopic {
        settings: &[("max.message.bytes", "5242880")],
        ..NewTopic::new("large-records", 1)
    };
    ensure_topic(&cluster, large).await.unwrap();
    let app = FailingApp::new(&brokers, "large-records", SETTINGS).await.unwrap();
    app.up(&[]).await.unwrap().stop().await.unwrap();
    let most =
        TopicAdmin::new(&cluster).unwrap().record_bytes_max("large-records.dead-letter").await;
    assert_eq!(most, Some(5_242_880 + 65_536));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_letters_of_one_sale_are_counted_once() {
    let kafka = shared_kafka();
    let brokers = kafka.bootstrap();
    let pipeline = Pipeline::start(Wiring::Chained, &brokers).await.unwrap();
    let topic = pipeline.topic.clone();
    let place = [
        ("__connect.errors.topic", topic.as_str()),
        ("__connect.errors.partition", "0"),
        ("__connect.errors.offset", "7"),
        ("spin-kafka.errors.timestamp", "1000"),
    ];
    let letters = format!("{topic}.dead-letter");
    for _ in 0..2 {
        write(&brokers, &letters, SALE, &place).await;
    }
    let (topic, group) = (format!("kafka_topic={topic}"), format!("kafka_group=group-{topic}"));
    let words = ["dlq", "replay", "--kafka", &brokers, "--variable", &topic, "--variable", &group];
    let (success, output, error) = command(&words).await;
    assert!(success && output.contains("2 letters sent back"), "{output}{error}");
    let store = pipeline.store().await.unwrap();
    // A sale after the letters in the same partition: when it is counted, both were read.
    write(&brokers, &pipeline.topic, SALE, &[]).await;
    eventually("the sales are counted", async || (store.total().await >= 2).then_some(())).await;
    assert_eq!(store.total().await, 2);
    pipeline.stop().await.unwrap();
}

/// Waits until the API shows this number of open letters and of all letters.
async fn list(client: &Client, open: u64, all: u64) -> Value {
    eventually("the list of letters", async || {
        let answer = client.send(Method::GET, "/api/v1/dead-letters", &[], "").await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"));
        let list = answer.json();
        (list["open"] == open && list["all"] == all).then_some(list)
    })
    .await
}

/// Sends a request to send letters back. Returns the status and the body.
async fn replay(
    client: &Client,
    headers: &[(&str, &str)],
    query: &str,
    body: &str,
) -> (u16, Value) {
    let path = format!("/api/v1/dead-letters/replay{query}");
    let answer = client.send(Method::POST, &path, headers, body.to_owned()).await.unwrap();
    (answer.status.as_u16(), answer.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_shows_letters_and_sends_them_back_only_if_that_is_enabled() {
    const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
    let kafka = shared_kafka();
    let brokers = kafka.bootstrap();
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let topic = "letters-on-the-page";
    let launch = Launch::new(Wiring::Fused.manifest(), &brokers, valkey.url(), topic)
        .variable("kafka_topic", topic)
        .variable("kafka_group", topic);
    let operator = format!("127.0.0.1:{}", free_port().unwrap());
    let with = |access: &str| {
        let mut launch = launch.clone();
        launch.envs.push(("DOORBUSTER_DEAD_LETTERS".into(), access.into()));
        launch.envs.push(("DOORBUSTER_OPERATOR".into(), operator.clone()));
        launch
    };

    let pipeline = Pipeline::launch(&with("view")).await.unwrap();
    let client = pipeline.client();
    list(&client, 0, 0).await;
    write(&brokers, topic, &SALE.replace("1.5", "-1"), &[]).await;
    let shown = list(&client, 1, 1).await;
    assert_eq!(shown["replay"], false);
    let letter = &shown["letters"][0];
    assert_eq!(
        (&letter["topic"], &letter["offset"]),
        (&json!(format!("{topic}.dead-letter")), &json!(0))
    );
    assert_eq!(
        (&letter["source"]["topic"], &letter["source"]["offset"]),
        (&json!(topic), &json!(0))
    );
    assert_eq!(letter["class"], "rejected");
    assert!(letter["reason"].as_str().unwrap().contains("precio"), "{letter}");
    assert_eq!(letter["key"]["data"], "tv");
    assert_eq!(letter["value"]["data"], SALE.replace("1.5", "-1"));
    assert!(letter["time_ms"].as_u64() > Some(1_700_000_000_000), "{letter}");
    // A letter that can be counted when it is sent back.
    let place = [("__connect.errors.topic", topic)];
    write(&brokers, &format!("{topic}.dead-letter"), SALE, &place).await;
    list(&client, 2, 2).await;
    let form = &[("content-type", "application/x-www-form-urlencoded")];
    for (headers, query, body, status) in [
        (JSON, "", "{}", 403),
        (form, "", "{}", 415),
        (&[], "", "{}", 415),
        (JSON, "?max=1", "{}", 400),
        (JSON, "", r#"{"max":1}"#, 400),
    ] {
        let (answered, problem) = replay(&client, headers, query, body).await;
        assert_eq!((answered, &problem["status"]), (status, &json!(status)), "{problem}");
    }
    let get = client.send(Method::GET, "/api/v1/dead-letters/replay", &[], "").await.unwrap();
    assert_eq!((get.status.as_u16(), get.header("allow")), (405, "POST"));
    // A name that another site gave the address of this machine.
    let operators = Client::new(&format!("http://{operator}"));
    for (port, path) in [(&client, "/api/v1/dead-letters"), (&operators, "/dead-letters")] {
        let head =
            format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n");
        let answer = port.raw(head.as_bytes(), false).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 403"), "{path}: {answer}");
    }
    let requests = (0..8).map(|_| client.send(Method::GET, "/api/v1/dead-letters", &[], ""));
    for answer in futures::future::join_all(requests).await {
        assert_eq!(answer.unwrap().status, 200, "all of them share few reads");
    }
    pipeline.stop().await.unwrap();

    let pipeline = Pipeline::launch(&with("replay")).await.unwrap();
    let client = pipeline.client();
    assert_eq!(list(&client, 2, 2).await["replay"], true);
    let result = replay(&client, JSON, "", "{}").await;
    let all_sent = json!({
        "sent": 2, "failed": 0, "failures": [], "open": 0, "complete": true, "failed_topics": [],
    });
    assert_eq!(result, (200, all_sent));
    let store = pipeline.store().await.unwrap();
    eventually("the sale is counted", async || (store.total().await == 1).then_some(())).await;
    // The other record is rejected again.
    let shown = list(&client, 1, 3).await;
    assert_eq!(shown["letters"][0]["source"]["topic"], topic);
    assert_eq!(replay(&client, JSON, "", "{}").await.1["sent"], 1);
    list(&client, 1, 4).await;
    assert_eq!(store.total().await, 1);
    pipeline.stop().await.unwrap();

    let pipeline = Pipeline::launch(&launch).await.unwrap();
    let client = pipeline.client();
    let answer = client.send(Method::GET, "/api/v1/dead-letters", &[], "").await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (404, &json!(404)));
    assert_eq!(replay(&client, JSON, "", "{}").await.0, 404);
    pipeline.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_on_an_empty_store_leaves_counting_to_the_trigger() {
    const SALES: u64 = 20;
    let kafka = shared_kafka();
    let brokers = kafka.bootstrap();
    let first = Pipeline::start(Wiring::Chained, &brokers).await.unwrap();
    for product in 0..SALES {
        let sale = SALE.replace("tv", &format!("tv-{product}"));
        assert_eq!(first.client().post("/purchase", sale).await.unwrap().status, 200);
    }
    let topic = first.topic.clone();
    first.stop().await.unwrap();

    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let url = valkey.url();
    let (topic_is, group_is) = (format!("kafka_topic={topic}"), "kafka_group=replayed-first");
    let variables = ["--variable", &topic_is, "--variable", group_is];
    let store_is = format!("valkey_url={url}");
    let address_is = format!("valkey_address={}", url.trim_start_matches("redis://"));
    let store = ["--variable", &store_is, "--variable", &address_is];
    let words = [&["replay", "--since", "2", "--kafka", &brokers], &variables[..], &store].concat();
    let (success, output, error) = command(&words).await;
    assert!(!success && error.contains("has no position in this log"), "{output}{error}");

    let launch = Launch::new(Wiring::Chained.manifest(), &brokers, &url, &topic)
        .variable("kafka_topic", &topic)
        .variable("kafka_group", "replayed-first");
    let pipeline = Pipeline::launch(&launch).await.unwrap();
    let store_of = pipeline.store().await.unwrap();
    eventually("all are counted", async || (store_of.total().await >= SALES).then_some(())).await;
    // After there is a position, the same replay is accepted, and counts nothing twice.
    let words = [&["replay", "--since", "0", "--kafka", &brokers], &variables[..], &store].concat();
    let (success, output, error) = command(&words).await;
    assert!(success && output.contains("20 records"), "{output}{error}");
    assert!(!error.contains("PartitionEOF"), "{error}");
    assert_eq!(store_of.total().await, SALES);
    pipeline.stop().await.unwrap();
}
