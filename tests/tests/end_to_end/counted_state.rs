//! Functions with a state on real servers: `examples/word-count`, and failures of a function that is a
//! dependency of the component `state`.

use std::collections::{BTreeMap, HashSet};

use host_producer::{Header, NewTopic, OutgoingRecord, Producer, ProducerConfig, ensure_topic};
use pipeline_tests::{Launch, Pipeline, Store, eventually, root};
use serde_json::Value;
use test_servers::{ValkeyConfig, shared_kafka, start_valkey};

use crate::audit::with_valkey;
use crate::letters::{self, command};

const TOPIC: &str = "word-count-texts";
const PARTITIONS: i32 = 3;

/// Writes texts. Every fifth one has an idempotency key and is written twice, like after a retry;
/// every hundredth one is followed by a record that is not a text.
async fn write(brokers: &str, numbers: std::ops::Range<u32>) {
    let record = |number: u32, text: Option<String>| OutgoingRecord {
        topic: TOPIC.into(),
        key: Some(format!("key{}", number % 17).into()),
        value: text.map(String::into_bytes),
        ..OutgoingRecord::default()
    };
    let mut records = Vec::new();
    for number in numbers {
        let words = [number % 7, number % 11, number * number % 13].map(|n| format!("word{n}"));
        let mut text = record(number, Some(words.join(" ")));
        if number % 5 == 0 {
            let (name, value) = ("idempotency-key".into(), Some(number.to_string().into()));
            text.headers.push(Header { name, value });
            records.push(text.clone());
        }
        records.push(text);
        if number % 100 == 0 {
            records.push(record(number, None));
        }
    }
    let producer = Producer::new(ProducerConfig::new(brokers)).unwrap();
    producer.send(records).await.unwrap();
}

/// The counts of the records in the topic, one record after the other.
#[derive(Default)]
struct Recount {
    texts: usize,
    minutes: BTreeMap<i64, BTreeMap<String, String>>,
    days: BTreeMap<(i64, String), f64>,
}

impl Recount {
    async fn of_topic(brokers: &str) -> Self {
        let capture = ["capture", "--kafka", brokers, "--topic", TOPIC, "--max", "100000"];
        let (captured, lines, error) = command(&capture).await;
        assert!(captured, "{error}");
        let (mut recount, mut seen) = (Self::default(), HashSet::new());
        let mut words: BTreeMap<(i64, String), u64> = BTreeMap::new();
        for line in lines.lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            let Some(text) = record["value"].as_str() else { continue };
            let headers = &record["headers"];
            if !headers.is_null() && !seen.insert((headers.to_string(), text.to_owned())) {
                continue;
            }
            recount.texts += 1;
            let minute = record["timestamp"].as_i64().unwrap() / 60_000;
            let day = minute / (24 * 60);
            for word in text.split(' ') {
                *words.entry((minute, word.to_owned())).or_default() += 1;
                *recount.days.entry((day, word.to_owned())).or_default() += 1.0;
            }
        }
        for ((minute, word), count) in words {
            recount.minutes.entry(minute).or_default().insert(word, count.to_string());
        }
        recount
    }

    /// Waits until this number of texts is counted, and compares all counts.
    async fn equals(&self, store: &Store) {
        let key = |name: &str| format!("{{word-count:1}}:{name}");
        eventually("all texts are counted", async || {
            let texts = store.get(&key("texts")).await?;
            (texts == self.texts.to_string()).then_some(())
        })
        .await;
        for (minute, words) in &self.minutes {
            assert_eq!(&store.fields(&key(&format!("minute:{minute}"))).await.unwrap(), words);
        }
        for ((day, word), count) in &self.days {
            let score = store.score(&key(&format!("day:{day}")), word).await;
            assert_eq!(score, Some(*count), "{word}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_counted_once_across_a_kill_and_a_loss_of_the_store() {
    let (kafka, valkey) = (shared_kafka(), start_valkey(ValkeyConfig::default()).await.unwrap());
    let brokers = kafka.bootstrap();
    let topic = NewTopic::new(TOPIC, PARTITIONS);
    ensure_topic(&ProducerConfig::new(&brokers), topic).await.unwrap();
    let store = Store::connect(&valkey.url()).await.unwrap();
    let manifest = root().join("examples/word-count/spin.toml");
    let launch = Launch::new(&manifest, &brokers, valkey.url(), TOPIC)
        .variable("kafka_topic", TOPIC)
        .variable("kafka_group", "word-count-of-the-test");

    write(&brokers, 0..400).await;
    let running = Pipeline::launch(&launch).await.unwrap();
    eventually("a text is counted", async || store.get("{word-count:1}:texts").await).await;
    // The trigger is killed while records are written, and therefore while some are applied.
    let writes = async {
        for start in (400..800).step_by(20) {
            write(&brokers, start..start + 20).await;
        }
    };
    let kill = async {
        let counted = async || {
            let texts = store.get("{word-count:1}:texts").await?;
            (texts.parse::<u32>().ok()? > 400).then_some(())
        };
        eventually("a text of the second writer is counted", counted).await;
        running.kill().await.unwrap();
    };
    tokio::join!(writes, kill);
    let running = Pipeline::launch(&launch).await.unwrap();
    let recount = Recount::of_topic(&brokers).await;
    assert_eq!(recount.texts, 800);
    recount.equals(&store).await;

    // The next batch of each partition detects that the state is lost.
    store.flush().await.unwrap();
    write(&brokers, 800..850).await;
    Recount::of_topic(&brokers).await.equals(&store).await;
    let verify = async || {
        let mut verify = with_valkey();
        verify.args(["verify", "--wait", "2", "--from"]).arg(&manifest);
        verify.args(["--kafka", &brokers, "--valkey", &valkey.url()]);
        verify.args(["--variable", &format!("kafka_topic={TOPIC}")]);
        verify.args(["--variable", "kafka_group=word-count-of-the-test"]);
        let output = verify.output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = verify().await;
    assert!(code == Some(0) && text.contains("The counts agree."), "{text}");
    // A key of the state that the function has not written.
    store.command(&["SET", "{word-count:1}:by-hand", "1"]).await.unwrap();
    let (code, text) = verify().await;
    let line = "  {word-count:1}:by-hand: expected none, found string\n";
    assert!(code == Some(1) && text.contains(line), "{text}");
    running.stop().await.unwrap();
    write(&brokers, 850..851).await;
    let (code, text) = verify().await;
    assert!(code == Some(1) && text.contains(" is not counted\n"), "{text}");

    failures_of_a_dependency(&brokers, &valkey.url(), &store).await;
}

/// The topic and the group of the guest `changes-on-command`.
const FAILURES: &str = "changes-on-command";

const FAILURES_MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "changes-on-command"
[variables]
kafka_brokers = { default = "" }
valkey_url = { default = "" }
valkey_address = { default = "" }
[[trigger.kafka]]
component = "changes-on-command"
brokers = "{{ kafka_brokers }}"
topic = "changes-on-command"
group = "changes-on-command"
dead_letter_topic = "changes-on-command.letters"
poison_attempts = 1
[component.changes-on-command]
source = "COMPONENTS/state.wasm"
allowed_outbound_hosts = ["tcp://{{ valkey_address }}"]
variables = { state = "failures", valkey_url = "{{ valkey_url }}" }
[component.changes-on-command.dependencies]
"spin-kafka:events/changes@0.2.0" = { path = "COMPONENTS/changes_on_command.wasm" }
"#;

/// A record that fails becomes a dead letter, and the others are counted. A wrong number of results
/// stops the program.
async fn failures_of_a_dependency(brokers: &str, valkey_url: &str, store: &Store) {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("spin.toml");
    let components = root().join("target/components").display().to_string();
    std::fs::write(&manifest, FAILURES_MANIFEST.replace("COMPONENTS", &components)).unwrap();
    ensure_topic(&ProducerConfig::new(brokers), NewTopic::new(FAILURES, 1)).await.unwrap();
    let position = async |expected: &str| {
        let key = format!("{{failures:1}}/position:{FAILURES}:{FAILURES}");
        eventually(&format!("the position {expected}"), async || {
            let positions = store.fields(&key).await.ok()?;
            (positions.get("0")? == expected).then_some(())
        })
        .await;
    };
    for value in ["count", "trap", "reject", "two types", "trap in reads", "count"] {
        letters::write(brokers, FAILURES, value, &[]).await;
    }
    let launch = Launch::new(&manifest, brokers, valkey_url.to_owned(), FAILURES);
    let running = Pipeline::launch(&launch).await.unwrap();
    position("6").await;
    let counts = store.fields("{failures:1}:counts").await.unwrap();
    assert_eq!(counts, BTreeMap::from([("count".to_owned(), "2".to_owned())]));
    let classes = eventually("four letters", async || {
        let classes = classes_of_letters(brokers).await;
        (classes.len() >= 4).then_some(classes)
    })
    .await;
    let expected = [
        ("reject", "rejected"),
        ("trap", "trap"),
        ("trap in reads", "trap"),
        ("two types", "rejected"),
    ];
    let text = |(value, class): (&str, &str)| (value.to_owned(), class.to_owned());
    assert_eq!(classes, BTreeMap::from(expected.map(text)));

    letters::write(brokers, FAILURES, "read", &[]).await;
    position("7").await;
    let seen = store.get("{failures:1}:seen").await;
    assert_eq!(seen.as_deref(), Some("changes-on-command/0 2 3"));
    letters::write(brokers, FAILURES, "one result too few", &[]).await;
    let error = running.ended().await.unwrap_err().to_string();
    assert!(error.contains("the function returned 0 results for 1 records"), "{error}");
}

/// The value of each dead letter, with the class of the failure.
async fn classes_of_letters(brokers: &str) -> BTreeMap<String, String> {
    let topic = format!("{FAILURES}.letters");
    let capture = ["capture", "--kafka", brokers, "--topic", &topic, "--max", "100"];
    let (captured, lines, error) = command(&capture).await;
    assert!(captured, "{error}");
    let class = |line: &str| {
        let letter: Value = serde_json::from_str(line).unwrap();
        let headers = letter["headers"].as_array().unwrap();
        let class = headers.iter().find(|header| header["name"] == "spin-kafka.errors.class");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&letter["value"]), text(&class.unwrap()["value"]))
    };
    lines.lines().map(class).collect()
}
