//! Functions in JavaScript, Python and Go: the projects that `doorbuster new` creates, and examples
//! with a state and with windows. With the same records they do the same as a function in Rust.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use futures::future::join_all;
use host_producer::{NewTopic, OutgoingRecord, Producer, ProducerConfig, ensure_topic};
use pipeline_tests::{Launch, Pipeline, doorbuster, eventually, root};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use test_servers::{ValkeyConfig, WAIT_LIMIT, shared_kafka, start_valkey};
use tokio::process::Command;

/// A language with a template.
struct Language {
    template: &'static str,
    /// Installs what the README of the project requires.
    install: &'static str,
    /// Runs the tests of the project.
    test: &'static str,
    /// The file in the project that calls the code for a record.
    handler: &'static str,
}

const LANGUAGES: [Language; 3] = [
    Language {
        template: "kafka-js",
        install: "npm install --no-audit --no-fund",
        test: "npm test",
        handler: "src/index.js",
    },
    Language {
        template: "kafka-python",
        install: "python3 -m venv .venv && pip install --quiet -r requirements.txt \
                  && componentize-py --wit-path wit --world sync-consumer bindings bindings",
        test: "PYTHONPATH=bindings python3 -m unittest",
        handler: "app.py",
    },
    Language {
        template: "kafka-go",
        install: "go mod download",
        test: "go test ./export_spin_kafka_events_sync_handler",
        handler: "export_spin_kafka_events_sync_handler/handler.go",
    },
];

/// Runs the command in the folder. Fails with its output.
async fn try_shell(folder: &Path, command: &str) -> Result<(), String> {
    let path = std::env::var("PATH").unwrap();
    let downloads = root().join("target/languages");
    let output = Command::new("sh")
        .args(["-c", command])
        .env("PATH", format!("{}:{path}", folder.join(".venv/bin").display()))
        .env("npm_config_cache", downloads.join("npm"))
        .env("PIP_CACHE_DIR", downloads.join("pip"))
        // Instead of a download of another version.
        .env("GOTOOLCHAIN", "local")
        .current_dir(folder)
        .kill_on_drop(true)
        .output();
    let Ok(output) = tokio::time::timeout(WAIT_LIMIT, output).await else {
        return Err(format!("{command}: not within {WAIT_LIMIT:?}"));
    };
    let output = output.unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{command}: {}\n{text}", output.status))
    }
}

/// Runs the command in the folder.
async fn shell(folder: &Path, command: &str) {
    try_shell(folder, command).await.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Runs a command that downloads; it is tried again once, as a download may fail for a moment.
async fn install(folder: &Path, command: &str) {
    if let Err(failure) = try_shell(folder, command).await {
        eprintln!("trying again: {failure}");
        shell(folder, command).await;
    }
}

impl Language {
    /// Creates the project, and runs its tests.
    async fn project(&self, folder: &Path) -> PathBuf {
        let mut new = doorbuster();
        new.args(["new", self.template, "--template", self.template, "--dir"]).arg(folder);
        let output = new.output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let project = folder.join(self.template);
        install(&project, self.install).await;
        shell(&project, self.test).await;
        project
    }

    /// Runs the build command of `spin.toml`, and returns the path of the component.
    async fn build(&self, project: &Path) -> PathBuf {
        let manifest = std::fs::read_to_string(project.join("spin.toml")).unwrap();
        let string = |name: &str| {
            let line = manifest.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_matches([' ', '=', '"']).to_owned()
        };
        shell(project, &string("command")).await;
        project.join(string("source"))
    }

    /// Replaces the function by the one of the guest `forwards-orders`, which sends records.
    fn forward_orders(&self, project: &Path) {
        let handler = Path::new(self.handler);
        let guest = root().join("tests/guests/forwards-orders");
        let source = guest.join(handler.file_name().unwrap());
        std::fs::copy(source, project.join(handler)).unwrap();
        for file in ["package.json", "spin.toml"].map(|file| project.join(file)) {
            if let Ok(text) = std::fs::read_to_string(&file) {
                std::fs::write(file, text.replace("sync-consumer", "sync-processor")).unwrap();
            }
        }
    }
}

/// What a function does with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// Forwards it: the key and the value of the new record.
    Forwarded(String, String),
    /// Rejects it, with this reason.
    Rejected(String),
    /// Traps.
    Poison,
}

type Value = Option<Vec<u8>>;

const NOT_JSON: &str = "the value is not JSON";
const NOT_AN_ORDER: &str = "the value is not an order";

/// Values that are rejected, and the reasons.
const REJECTED: [(Option<&[u8]>, &str); 20] = [
    (None, NOT_JSON),
    (Some(b""), NOT_JSON),
    (Some(b"{"), NOT_JSON),
    (Some(b"{'product':'tv','quantity':1}"), NOT_JSON),
    (Some(b"{\"product\":\"tv\",\"quantity\":NaN}"), NOT_JSON),
    (Some(b"{\"product\":\"\xff\",\"quantity\":1}"), NOT_JSON),
    (Some(b"\xef\xbb\xbf{\"product\":\"tv\",\"quantity\":1}"), NOT_JSON),
    (Some(b"{\"product\":\"\\ud800\",\"quantity\":1}"), NOT_JSON),
    (Some(b"null"), NOT_AN_ORDER),
    (Some(b"7"), NOT_AN_ORDER),
    (Some(b"[\"tv\",1,2]"), NOT_AN_ORDER),
    (Some(b"{\"product\":\"tv\"}"), NOT_AN_ORDER),
    (Some(b"{\"Product\":\"tv\",\"quantity\":1}"), NOT_AN_ORDER),
    (Some(b"{\"product\":null,\"quantity\":1}"), NOT_AN_ORDER),
    (Some(b"{\"product\":\"tv\",\"quantity\":0}"), NOT_AN_ORDER),
    (Some(b"{\"product\":\"tv\",\"quantity\":-1}"), NOT_AN_ORDER),
    (Some(b"{\"product\":\"tv\",\"quantity\":1.5}"), NOT_AN_ORDER),
    (Some(b"{\"product\":\"tv\",\"quantity\":\"1\"}"), NOT_AN_ORDER),
    (Some(b"{\"product\":\"tv\",\"quantity\":true}"), NOT_AN_ORDER),
    (Some(b"{\"product\":\"tv\",\"quantity\":4294967296}"), NOT_AN_ORDER),
];

const RECORDS: usize = 10_000;

/// The value of the record at this offset, and what becomes of it.
fn record(offset: usize) -> (Value, Outcome) {
    let order = |product: &str, quantity: usize| {
        let value = format!(r#"{{"quantity": {quantity}, "product": "{product}", "more": []}}"#);
        Some(value.into_bytes())
    };
    if [0, 4_321, 4_322, 9_999].contains(&offset) {
        return (order("poison", 1), Outcome::Poison);
    }
    if offset.is_multiple_of(50) {
        let (value, reason) = REJECTED[offset / 50 % REJECTED.len()];
        return (value.map(<[u8]>::to_vec), Outcome::Rejected(reason.into()));
    }
    let product = ["tv", "", "caf\u{e9}", "\u{1f4fa} 4k"][offset % 4];
    let quantity = [1, 42, u32::MAX as usize][offset % 3];
    (order(product, quantity), Outcome::Forwarded(product.into(), quantity.to_string()))
}

/// Writes the records of these offsets, in order.
async fn write(brokers: &str, topic: &str, offsets: Range<usize>) {
    let producer = Producer::new(ProducerConfig::new(brokers)).unwrap();
    let outgoing = |offset| OutgoingRecord {
        topic: topic.into(),
        value: record(offset).0,
        ..OutgoingRecord::default()
    };
    let records: Vec<_> = offsets.map(outgoing).collect();
    for records in records.chunks(1_000) {
        producer.send(records.to_vec()).await.unwrap();
    }
}

/// The codes for a topic that does not exist, or that is being created.
const MISSING: [RDKafkaErrorCode; 4] = [
    RDKafkaErrorCode::UnknownTopic,
    RDKafkaErrorCode::UnknownPartition,
    RDKafkaErrorCode::UnknownTopicOrPartition,
    RDKafkaErrorCode::LeaderNotAvailable,
];

fn consumer(brokers: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "languages");
    config.create().unwrap()
}

/// The end of the topic, which has one partition; 0 if there is no such topic.
fn end(consumer: &BaseConsumer, topic: &str) -> i64 {
    match consumer.fetch_watermarks(topic, 0, WAIT_LIMIT) {
        Ok((_, end)) => end,
        Err(error) => {
            let is_missing = error.rdkafka_error_code().is_some_and(|code| MISSING.contains(&code));
            assert!(is_missing, "{topic}: {error}");
            0
        }
    }
}

/// Passes each record of the topic to `each`.
fn read(consumer: &BaseConsumer, topic: &str, mut each: impl FnMut(&BorrowedMessage<'_>)) {
    let end = end(consumer, topic);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let (mut next, mut last) = (0, Instant::now());
    while next < end {
        // None may also mean another event of the client.
        let Some(record) = consumer.poll(WAIT_LIMIT) else {
            assert!(last.elapsed() < WAIT_LIMIT, "no record of {topic} in time");
            continue;
        };
        let record = record.unwrap();
        each(&record);
        (next, last) = (record.offset() + 1, Instant::now());
    }
}

/// The text of a header.
fn header(record: &BorrowedMessage<'_>, name: &str) -> Option<String> {
    let header = record.headers()?.iter().find(|header| header.key == name)?;
    Some(String::from_utf8(header.value?.to_vec()).unwrap())
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.unwrap().to_vec()).unwrap()
}

/// What the function of this group did with each record.
fn outcomes(consumer: &BaseConsumer, group: &str) -> BTreeMap<usize, (Value, Outcome)> {
    let mut outcomes = BTreeMap::new();
    let mut add = |offset: String, value: Value, outcome: Outcome| {
        let offset = offset.parse().unwrap();
        // After a retry, a record is forwarded again.
        let before = outcomes.insert(offset, (value.clone(), outcome.clone()));
        assert!(before.is_none_or(|before| before == (value, outcome)), "{group}: {offset}");
    };
    read(consumer, group, |forwarded| {
        let offset: String = header(forwarded, "offset").unwrap();
        let value = record(offset.parse().unwrap()).0;
        let outcome = Outcome::Forwarded(text(forwarded.key()), text(forwarded.payload()));
        add(offset, value, outcome);
    });
    read(consumer, &letters(group), |letter| {
        let offset = header(letter, "__connect.errors.offset").unwrap();
        let outcome = match header(letter, "spin-kafka.errors.class").as_deref() {
            Some("rejected") => {
                Outcome::Rejected(header(letter, "__connect.errors.exception.message").unwrap())
            }
            Some("trap") => Outcome::Poison,
            class => panic!("{group}: {offset}: {class:?}"),
        };
        add(offset, letter.payload().map(<[u8]>::to_vec), outcome);
    });
    outcomes
}

fn letters(group: &str) -> String {
    format!("{group}.letters")
}

/// A part of a manifest: a trigger and its component.
fn trigger(topic: &str, id: &str, source: &Path) -> String {
    let (source, letters) = (source.display(), letters(id));
    format!(
        r#"
[[trigger.kafka]]
component = "{id}"
brokers = "{{{{ kafka_brokers }}}}"
topic = "{topic}"
group = "{id}"
dead_letter_topic = "{letters}"
poison_attempts = 1
[component.{id}]
source = "{source}"
allowed_outbound_hosts = ["tcp://{{{{ kafka_brokers }}}}"]
"#
    )
}

const APPLICATION: &str = r#"
spin_manifest_version = 2
[application]
name = "forwards-orders"
[variables]
kafka_brokers = { default = "" }
valkey_url = { default = "" }
valkey_address = { default = "" }
"#;

/// The applications whose functions in JavaScript and Python are dependencies of our components, and
/// the one in Rust that does the same as the one in JavaScript.
const COUNTERS: [&str; 3] = ["top-products", "top-products-js", "order-counts-python"];

/// The states of these applications.
const STATES: [&str; 3] = ["top-products", "top-products-js", "order-counts"];

/// The stored position of each of these applications. The topic has one partition.
async fn positions(store: &MultiplexedConnection, topic: &str) -> Vec<Option<usize>> {
    let states = STATES.iter().zip(COUNTERS);
    join_all(states.map(async |(state, group)| {
        let key = format!("{{{state}:1}}/position:{group}:{topic}");
        store.clone().hget(key, 0).await.unwrap()
    }))
    .await
}

/// The part of an example's manifest after the variables, for this topic.
fn counter(example: &str, topic: &str, folder: &Path) -> String {
    let path = root().join("examples").join(example).join("spin.toml");
    let manifest = std::fs::read_to_string(path).unwrap();
    let (variables, part) = manifest.split_once("[[trigger.kafka]]").unwrap();
    let settings = variables.split("'''").nth(1).unwrap_or_default();
    let part = part
        .replace("{{ kafka_topic }}", topic)
        .replace("{{ kafka_group }}", example)
        .replace("\"{{ windows }}\"", &format!("'''{settings}'''"))
        .replace("../..", &root().display().to_string())
        .replace("{ path = \"", &format!("{{ path = \"{}/", folder.display()));
    format!("[[trigger.kafka]]\ndead_letter_topic = \"{}\"{part}", letters(example))
}

/// Builds the functions of the examples in the folder, with the commands in the guides.
async fn build_dependencies(projects: &[PathBuf], folder: &Path) {
    let example = |path: &str| root().join("examples").join(path);
    let [js, python, ..] = projects else { panic!("{projects:?}") };
    std::fs::copy(example("top-products-js/index.js"), js.join("src/index.js")).unwrap();
    std::fs::copy(example("order-counts-python/app.py"), python.join("app.py")).unwrap();
    let folder = folder.display();
    let js_command = format!(
        "npx componentize-js src/index.js --wit wit --world-name window-function \
         --disable http fetch-event --out {folder}/top_products_js.wasm"
    );
    let python_command = format!(
        "componentize-py --wit-path wit --world state-function componentize app \
         --output {folder}/order_counts.wasm"
    );
    tokio::join!(shell(js, &js_command), shell(python, &python_command));
}

type Rankings = BTreeMap<String, Vec<(String, u64)>>;

/// The products of each window of this state, by the start of the window.
async fn rankings(store: &mut MultiplexedConnection, state: &str) -> Rankings {
    let prefix = format!("{{{state}:1}}:products:");
    let windows: Vec<String> = store.keys(format!("{prefix}*")).await.unwrap();
    let mut rankings = BTreeMap::new();
    for window in windows {
        let products = store.zrange_withscores(&window, 0, -1).await.unwrap();
        rankings.insert(window.trim_start_matches(&prefix).to_owned(), products);
    }
    rankings
}

/// The orders of the topic, with their offsets: products and quantities.
fn orders() -> impl Iterator<Item = (usize, String, u64)> {
    (0..RECORDS).filter_map(|offset| match record(offset).1 {
        Outcome::Forwarded(product, quantity) => Some((offset, product, quantity.parse().unwrap())),
        Outcome::Rejected(_) => None,
        Outcome::Poison => Some((offset, "poison".into(), 1)),
    })
}

/// Waits until the dead letters of this application are those of all records that it rejects.
async fn compare_letters(consumer: &BaseConsumer, example: &str) {
    let is_rejected = |offset: &usize| match record(*offset).1 {
        Outcome::Rejected(_) => true,
        // A ranking has no member without a name.
        Outcome::Forwarded(product, _) => product.is_empty() && example != "order-counts-python",
        Outcome::Poison => false,
    };
    let expected: BTreeSet<usize> = (0..RECORDS).filter(is_rejected).collect();
    let topic = letters(example);
    eventually(&format!("the letters of {example}"), async || {
        let written = usize::try_from(end(consumer, &topic)).unwrap();
        (written >= expected.len()).then_some(())
    })
    .await;
    let mut rejected = BTreeSet::new();
    read(consumer, &topic, |letter| {
        let class = header(letter, "spin-kafka.errors.class");
        assert_eq!(class.as_deref(), Some("rejected"), "{example}");
        // After a retry, the same letter may be written again.
        rejected.insert(header(letter, "__connect.errors.offset").unwrap().parse().unwrap());
    });
    assert_eq!(rejected, expected, "{example}");
}

/// Compares the windows of the functions in Rust and in JavaScript with each other and with all
/// orders. A ranking has no member without a name.
async fn compare_rankings(store: &mut MultiplexedConnection) {
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for (_, product, quantity) in orders().filter(|(_, product, _)| !product.is_empty()) {
        *expected.entry(product).or_default() += quantity;
    }
    for state in ["top-products", "top-products-js"] {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for (product, quantity) in rankings(store, state).await.into_values().flatten() {
            *sums.entry(product).or_default() += quantity;
        }
        assert_eq!(sums, expected, "{state}");
    }
    let rust = rankings(store, "top-products").await;
    assert_eq!(rankings(store, "top-products-js").await, rust);
}

/// Compares the state of the function in Python with all orders.
async fn compare_counts(store: &mut MultiplexedConnection) {
    let (mut first, mut last) = (BTreeMap::new(), BTreeMap::new());
    // In hundredths, because the function adds a quarter to each quantity.
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for (offset, product, quantity) in orders() {
        first.entry(product.clone()).or_insert(format!("0:{offset}"));
        last.insert(product.clone(), quantity);
        *sums.entry(product).or_default() += quantity * 100 + 25;
    }
    let counted: usize = store.get("{order-counts:1}:orders").await.unwrap();
    assert_eq!(counted, orders().count());
    let stored: BTreeMap<String, String> = store.hgetall("{order-counts:1}:first").await.unwrap();
    assert_eq!(stored, first);
    let stored: BTreeMap<String, String> =
        store.hgetall("{order-counts:1}:quantities").await.unwrap();
    let hundredths = |text: &String| (text.parse::<f64>().unwrap() * 100.0).round() as u64;
    let stored: BTreeMap<_, _> =
        stored.iter().map(|(product, sum)| (product.clone(), hundredths(sum))).collect();
    assert_eq!(stored, sums);
    for (product, quantity) in last {
        let key = format!("{{order-counts:1}}:last:{product}");
        let (stored, ttl): (u64, i64) =
            (store.get(&key).await.unwrap(), store.ttl(&key).await.unwrap());
        assert_eq!(stored, quantity, "{product}");
        assert!((1..=24 * 60 * 60).contains(&ttl), "{product}: {ttl}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_languages_have_the_same_results_also_after_a_kill() {
    let folder = TempDir::new_in(root().join("target")).unwrap();
    let topic = "orders-of-all-languages";
    let rust = root().join("target/components/forwards_orders.wasm");
    let mut components = vec![("kafka-rust", rust)];
    let mut projects = Vec::new();
    for (project, component) in join_all(LANGUAGES.iter().map(async |language| {
        let project = language.project(folder.path()).await;
        language.forward_orders(&project);
        let component = language.build(&project).await;
        (project, (language.template, component))
    }))
    .await
    {
        projects.push(project);
        components.push(component);
    }
    build_dependencies(&projects, folder.path()).await;
    let mut manifest = APPLICATION.to_owned();
    manifest.extend(components.iter().map(|(id, source)| trigger(topic, id, source)));
    manifest.extend(COUNTERS.map(|example| counter(example, topic, folder.path())));
    let path = folder.path().join("spin.toml");
    std::fs::write(&path, manifest).unwrap();

    let (kafka, valkey) = (shared_kafka(), start_valkey(ValkeyConfig::default()).await.unwrap());
    let brokers = kafka.bootstrap();
    let groups: Vec<&str> = components.iter().map(|(id, _)| *id).collect();
    for topic in [&groups[..], &[topic]].concat() {
        ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new(topic, 1)).await.unwrap();
    }
    let half = RECORDS / 2;
    write(&brokers, topic, 0..half).await;
    let launch = Launch::new(path, &brokers, valkey.url(), topic);
    let running = Pipeline::launch(&launch).await.unwrap();
    let client = redis::Client::open(valkey.url()).unwrap();
    let mut store = client.get_multiplexed_async_connection().await.unwrap();
    eventually("each function with a state or windows has counted", async || {
        positions(&store, topic).await.iter().all(Option::is_some).then_some(())
    })
    .await;
    write(&brokers, topic, half..RECORDS).await;
    let mut log = running.log();
    running.kill().await.unwrap();
    let running = Pipeline::launch(&launch).await.unwrap();
    let consumer = consumer(&brokers);
    for group in &groups {
        eventually(&format!("the results of {group}"), async || {
            let handled = end(&consumer, group) + end(&consumer, &letters(group));
            let is_enough = handled >= RECORDS as i64;
            (is_enough && outcomes(&consumer, group).len() >= RECORDS).then_some(())
        })
        .await;
    }
    let expected: BTreeMap<_, _> = (0..RECORDS).map(|offset| (offset, record(offset))).collect();
    eventually("all records are counted", async || {
        positions(&store, topic).await.iter().all(|end| *end == Some(RECORDS)).then_some(())
    })
    .await;
    compare_rankings(&mut store).await;
    compare_counts(&mut store).await;
    for example in COUNTERS {
        compare_letters(&consumer, example).await;
    }
    // Go would call the host if it collected garbage while the host passes a batch.
    log.push_str(&running.log());
    let trap = log.lines().find(|line| line.contains("cannot leave component instance"));
    assert_eq!(trap, None);
    running.stop().await.unwrap();

    for group in groups {
        let outcomes = outcomes(&consumer, group);
        for (offset, expected) in &expected {
            assert_eq!(outcomes.get(offset), Some(expected), "{group}: {offset}");
        }
        assert_eq!(outcomes.len(), RECORDS, "{group}");
    }
}
