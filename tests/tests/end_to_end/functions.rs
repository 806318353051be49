//! Functions that use `spin-kafka-sdk`: the project that `doorbuster new` creates, and a guest for
//! what that project does not use.

use std::path::Path;

use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use pipeline_tests::{Pipeline, eventually, program, root};
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};
use test_servers::shared_kafka;
use tokio::process::Command;

use crate::letters::{command, write};

/// The address of the broker in the guide.
const SHOWN_BROKER: &str = "127.0.0.1:41873";

/// A block of commands in the guide, and the lines that they print.
struct Step {
    commands: String,
    lines: Vec<String>,
}

/// The steps of the guide.
fn steps() -> Vec<Step> {
    let guide = std::fs::read_to_string(root().join("docs/guide/write-a-function.md")).unwrap();
    let mut steps: Vec<Step> = Vec::new();
    // Every second part is between two fences; it begins with the language.
    for block in guide.split("```").skip(1).step_by(2) {
        match (block.split_once('\n').unwrap(), steps.last_mut()) {
            (("sh", commands), _) => {
                steps.push(Step { commands: commands.into(), lines: Vec::new() });
            }
            (("", lines), Some(last)) => last.lines = lines.lines().map(comparable).collect(),
            _ => {}
        }
    }
    steps
}

/// A line that the component logged, without the time and the place of the record: the producer
/// chooses the partition of a record without a key. Any other line as it is.
fn comparable(line: &str) -> String {
    logged_fields(line).unwrap_or_else(|| line.to_owned())
}

/// The component, and the fields of the event `ordered` but for the partition.
fn logged_fields(line: &str) -> Option<String> {
    let (component, event) = line.split_once(": 20")?;
    let (_, fields) = event.split_once(": ordered ")?;
    let fields = fields.split(' ').filter(|field| !field.starts_with("partition="));
    let fields: Vec<&str> = fields.collect();
    Some(format!("{component}: ordered {}", fields.join(" ")))
}

impl Step {
    /// The step with the address of this broker.
    fn with_broker(self, broker: &str) -> Self {
        let lines = self.lines.iter().map(|line| line.replace(SHOWN_BROKER, broker)).collect();
        Self { commands: self.commands.replace(SHOWN_BROKER, broker), lines }
    }

    /// The commands, as a user would run them in this folder.
    fn command(&self, folder: &Path) -> Command {
        let programs = program("doorbuster").parent().unwrap().display().to_string();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.args(["-ec", &self.commands]).current_dir(folder).kill_on_drop(true);
        command.env("PATH", path).env("DOORBUSTER", root()).env("CARGO_NET_OFFLINE", "true");
        command
    }

    /// Runs the commands, which must end with this exit code and print the lines.
    async fn run(&self, folder: &Path, code: i32) {
        let output = self.command(folder).output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(output.status.code(), Some(code), "{}{text}", self.commands);
        assert_eq!(self.missing(&text), [""; 0], "{}{text}", self.commands);
    }

    /// The lines that the output does not contain.
    fn missing(&self, output: &str) -> Vec<&str> {
        let printed: Vec<String> = output.lines().map(comparable).collect();
        let is_missing = |line: &&String| !printed.contains(line);
        self.lines.iter().filter(is_missing).map(String::as_str).collect()
    }
}

/// The output of a program that runs in the background.
fn read(output: &NamedTempFile) -> String {
    std::fs::read_to_string(output).unwrap()
}

/// Waits until the component has logged a line with all of these words.
pub async fn logged(running: &Pipeline, words: &[&str]) {
    eventually("the log of the component", async || {
        let log = running.log();
        log.lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
    })
    .await;
}

/// Waits for the dead letter of the record at `place`, and checks its reason.
async fn rejected(brokers: &str, manifest: &Path, place: &str, reason: &str) {
    rejected_with(brokers, manifest, &[], place, reason).await;
}

/// The same, with more arguments of `dlq list`.
async fn rejected_with(
    brokers: &str,
    manifest: &Path,
    arguments: &[&str],
    place: &str,
    reason: &str,
) {
    let list = ["dlq", "list", "--kafka", brokers, "--from", manifest.to_str().unwrap()];
    let list = [&list[..], arguments].concat();
    let letter = eventually("the letter", async || {
        let (_, list, _) = command(&list).await;
        list.lines().find(|line| line.contains("rejected")).map(ToOwned::to_owned)
    })
    .await;
    assert!(letter.contains(place) && letter.contains(reason), "{letter}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_guide_do_what_it_says() {
    let folder = TempDir::new().unwrap();
    let [new, test, build, up, produce, list] =
        steps().try_into().unwrap_or_else(|_| panic!("the guide has other steps"));
    for Step { commands, lines } in [&new, &test, &build, &up, &produce, &list] {
        assert!(!lines.is_empty(), "the guide does not show what this prints: {commands}");
    }
    new.run(folder.path(), 0).await;
    let project = folder.path().join("my-orders");
    // The versions of the libraries that are here already.
    for file in ["Cargo.lock", "rust-toolchain.toml"] {
        std::fs::copy(root().join(file), project.join(file)).unwrap();
    }
    // So that the libraries are built only once.
    let built = root().join("target/template");
    std::fs::create_dir_all(&built).unwrap();
    std::os::unix::fs::symlink(built, project.join("target")).unwrap();
    test.run(&project, 0).await;
    build.run(&project, 1).await;

    let output = NamedTempFile::new().unwrap();
    let up = Step { commands: format!("exec {}", up.commands), lines: up.lines };
    let mut command = up.command(&project);
    command.stdout(output.reopen().unwrap()).stderr(output.reopen().unwrap());
    let _running = command.spawn().unwrap();
    let broker = eventually("the broker", async || {
        let text = read(&output);
        let (_, rest) = text.split_once("  Kafka   ")?;
        text.contains("Press Ctrl-C").then_some(rest.lines().next()?.to_owned())
    })
    .await;
    let up = up.with_broker(&broker);
    assert_eq!(up.missing(&read(&output)), [""; 0]);
    let produce = produce.with_broker(&broker);
    let produced = produce.command(&project).output().await.unwrap();
    assert!(produced.status.success(), "{}", String::from_utf8_lossy(&produced.stderr));
    eventually("the log of the function", async || {
        produce.missing(&read(&output)).is_empty().then_some(())
    })
    .await;
    let list = list.with_broker(&broker);
    eventually("the dead letter", async || {
        let listed = list.command(&project).output().await.unwrap();
        let text = String::from_utf8(listed.stdout).unwrap();
        list.lines.iter().all(|line| text.contains(line)).then_some(())
    })
    .await;
}

const COPIES_RECORDS: &str = r#"
spin_manifest_version = 2
[application]
name = "copies-records"
[variables]
kafka_brokers = { default = "" }
[[trigger.kafka]]
component = "copies-records"
brokers = "{{ kafka_brokers }}"
topic = "numbers"
group = "copies"
[component.copies-records]
source = "copies_records.wasm"
allowed_outbound_hosts = ["tcp://{{ kafka_brokers }}"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_function_for_batches_starts_at_its_position_and_sends_records() {
    let folder = TempDir::new().unwrap();
    let wasm = "copies_records.wasm";
    std::fs::copy(root().join("target/components").join(wasm), folder.path().join(wasm)).unwrap();
    let manifest = folder.path().join("spin.toml");
    std::fs::write(&manifest, COPIES_RECORDS).unwrap();

    let kafka = shared_kafka();
    let brokers = kafka.bootstrap();
    for topic in ["numbers", "copies"] {
        ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new(topic, 1)).await.unwrap();
    }
    // The component returns position 1, so the first record is not copied.
    for value in ["0", "1", "two", "3"] {
        write(&brokers, "numbers", value, &[]).await;
    }
    let running = Pipeline::of_manifest(&manifest, &brokers, &[]).await.unwrap();
    logged(&running, &["position requested", "numbers"]).await;
    // The component logs a copy after the broker's acknowledgement.
    for number in ["number=1", "number=3"] {
        logged(&running, &["copied", number]).await;
    }
    rejected(&brokers, &manifest, "numbers/0@2", "the value is not as expected").await;
    running.stop().await.unwrap();

    let capture = ["capture", "--kafka", &brokers, "--topic", "copies"];
    let (captured, records, error) = command(&capture).await;
    assert!(captured, "{error}");
    let records = records.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut copies = Vec::new();
    for record in records {
        assert_eq!(record["key"], "copy", "{record}");
        // After a rebalance a batch may be copied again.
        if !copies.contains(&record["value"]) {
            copies.push(record["value"].clone());
        }
    }
    assert_eq!(copies, ["1", "3"]);
}

/// The second function reads the topic that the first one writes.
const TWO_FUNCTIONS: &str = r#"
spin_manifest_version = 2
[application]
name = "two-functions"
[variables]
kafka_brokers = { default = "" }
[application.trigger.kafka]
brokers = "{{ kafka_brokers }}"
[[trigger.kafka]]
component = "order-lines"
topic = "orders-with-lines"
group = "order-lines"
output_topics = ["order-lines"]
[[trigger.kafka]]
component = "forwards-orders"
topic = "order-lines"
group = "forwarded-lines"
[component.order-lines]
source = "order_lines.wasm"
[component.forwards-orders]
source = "forwards_orders.wasm"
allowed_outbound_hosts = ["tcp://{{ kafka_brokers }}"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_function_reads_the_records_that_another_one_returns() {
    let folder = TempDir::new().unwrap();
    for wasm in ["order_lines.wasm", "forwards_orders.wasm"] {
        let built = root().join("target/components").join(wasm);
        std::fs::copy(built, folder.path().join(wasm)).unwrap();
    }
    let manifest = folder.path().join("spin.toml");
    std::fs::write(&manifest, TWO_FUNCTIONS).unwrap();
    let brokers = shared_kafka().bootstrap();
    let topics =
        ["orders-with-lines", "orders-with-lines.dead-letter", "order-lines", "forwarded-lines"];
    for topic in topics {
        ensure_topic(&ProducerConfig::new(&brokers), NewTopic::new(topic, 1)).await.unwrap();
    }
    for (id, products) in [("a", ["tv", "bag"]), ("b", ["pen", "cap"])] {
        let line = |product| format!(r#"{{"product":"{product}","quantity":2}}"#);
        let lines = products.map(line).join(",");
        write(&brokers, "orders-with-lines", &format!(r#"{{"id":"{id}","lines":[{lines}]}}"#), &[])
            .await;
    }
    write(&brokers, "orders-with-lines", "not an order", &[]).await;
    let running = Pipeline::of_manifest(&manifest, &brokers, &[]).await.unwrap();
    let place = "orders-with-lines/0@2";
    let arguments = ["--component", "order-lines"];
    let reason = "the value is not as expected";
    rejected_with(&brokers, &manifest, &arguments, place, reason).await;
    let keys = async |topic: &str| {
        let (_, records, _) = command(&["capture", "--kafka", &brokers, "--topic", topic]).await;
        let key = |line: &str| serde_json::from_str::<Value>(line).unwrap()["key"].clone();
        records.lines().map(key).collect::<Vec<_>>()
    };
    let expected = ["tv", "bag", "pen", "cap"];
    eventually("the forwarded lines", async || {
        let forwarded = keys("forwarded-lines").await;
        expected.iter().all(|key| forwarded.iter().any(|found| found == key)).then_some(())
    })
    .await;
    assert_eq!(keys("order-lines").await, expected);
    running.stop().await.unwrap();
}
