//! The Spin plugin with everything that `spin up` does to it.

use std::process::{Output, Stdio};

use host_producer::{NewTopic, OutgoingRecord, Producer, ProducerConfig, ensure_topic};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pipeline_tests::{Locked, Store, eventually, plugin, program, root};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use test_servers::{Kafka, KafkaConfig, Valkey, ValkeyConfig, start_valkey};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const SALE: &[u8] =
    br#"{"categoria":1,"producto_id":"tv-42","precio":499.99,"cantidad_vendida":2}"#;

/// Real servers, and `spin.toml` as a locked application.
struct World {
    kafka: Kafka,
    valkey: Valkey,
    locked: Locked,
}

impl World {
    async fn new() -> Self {
        let world = Self::without_topic().await;
        world.make_topic().await;
        world
    }

    async fn without_topic() -> Self {
        let kafka = Kafka::start(KafkaConfig::default()).await.unwrap();
        let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
        Self { kafka, valkey, locked: Locked::new("spin.toml").unwrap() }
    }

    async fn make_topic(&self) {
        ensure_topic(&ProducerConfig::new(self.kafka.bootstrap()), NewTopic::new("sales-topic", 3))
            .await
            .unwrap();
    }

    /// The plugin with these servers.
    fn plugin(&self) -> Command {
        let mut command = self.locked.plugin();
        self.on_servers(&mut command);
        command
    }

    fn on_servers(&self, command: &mut Command) {
        let (brokers, valkey) = (self.kafka.bootstrap(), self.valkey.url());
        let address = valkey.trim_start_matches("redis://").to_owned();
        // One variable in each of the ways that Spin supports.
        let config = self.locked.folder.path().join("runtime-config.toml");
        let text = format!(
            "[[variables_provider]]\ntype = \"static\"\nvalues = {{ valkey_address = \"{address}\" }}\n"
        );
        std::fs::write(&config, text).unwrap();
        command
            .args(["--variable", &format!("kafka_brokers={brokers}"), "--runtime-config-file"])
            .arg(config)
            .env("SPIN_VARIABLE_VALKEY_URL", valkey);
    }

    async fn sell(&self, sales: usize) {
        let producer = Producer::new(ProducerConfig::new(self.kafka.bootstrap())).unwrap();
        let record = OutgoingRecord {
            topic: "sales-topic".into(),
            value: Some(SALE.into()),
            ..OutgoingRecord::default()
        };
        producer.send(vec![record; sales]).await.unwrap();
    }

    async fn counted(&self, sales: u64) {
        let store = Store::connect(&self.valkey.url()).await.unwrap();
        eventually(&format!("{sales} sales are counted"), async || {
            (store.total().await == sales).then_some(())
        })
        .await;
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap());
    kill(pid, signal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_counts_and_drains_at_both_signals_at_once() {
    let world = World::new().await;
    let mut total = 0;
    for sales in [100, 200] {
        let mut command = world.plugin();
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        world.sell(sales).await;
        total += u64::try_from(sales).unwrap();
        world.counted(total).await;
        // On a terminal, Ctrl-C sends SIGINT to all processes, and `spin up` sends SIGTERM.
        signal(&child, Signal::SIGTERM);
        signal(&child, Signal::SIGINT);
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success(), "{}", output.status);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(printed.contains("aggregator: sales-topic at"), "{printed}");
        let log = text(&output.stderr);
        assert!(log.contains("drained") && log.contains("left_group: true"), "{log}");
    }
    assert_eq!(world.locked.log("aggregator", "stdout").as_deref(), Some(""));
    assert_eq!(world.locked.log("aggregator", "stderr").as_deref(), Some(""));
    assert_eq!(world.locked.log("ingest", "stdout"), None, "it is not Kafka's");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_a_topic_that_is_missing() {
    let world = World::without_topic().await;
    let mut child = world.plugin().stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while lines.next_line().await.unwrap().unwrap() != "Consuming from Kafka" {}
    world.make_topic().await;
    world.sell(10).await;
    world.counted(10).await;
    signal(&child, Signal::SIGTERM);
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_spin_is_killed() {
    let world = World::new().await;
    // `spin up` starts `spin trigger-kafka`, which starts the plugin. Either of them may be killed.
    for killed in ["wrapper", "spin"] {
        let program = program("trigger-kafka");
        let pids = world.locked.folder.path().join(format!("pids-{killed}"));
        let wrapper = format!(
            "{} \"$@\" 2> {pids}.log & echo $! > {pids}; wait",
            program.display(),
            pids = pids.display()
        );
        let spin = "sh -c \"$0\" wrapper \"$@\" & echo $! > $PIDS.wrapper; wait";
        let command = world.plugin();
        let plugin = command.as_std();
        let mut outer = Command::new("sh");
        outer.args(["-c", spin, &wrapper]).args(plugin.get_args()).env("PIDS", &pids);
        for (name, value) in plugin.get_envs() {
            outer.env(name, value.unwrap_or_default());
        }
        let mut outer = outer.current_dir(world.locked.folder.path()).spawn().unwrap();
        let read = |path: std::path::PathBuf| async move {
            eventually("the process has started", async || {
                let text = std::fs::read_to_string(&path).ok()?;
                text.trim().parse().ok().map(Pid::from_raw)
            })
            .await
        };
        let plugin = read(pids.clone()).await;
        let wrapper = read(pids.with_added_extension("wrapper")).await;
        let before = Store::connect(&world.valkey.url()).await.unwrap().total().await;
        world.sell(10).await;
        world.counted(before + 10).await;
        match killed {
            "wrapper" => kill(wrapper, Signal::SIGKILL).unwrap(),
            _ => outer.start_kill().unwrap(),
        }
        eventually("the plugin has ended", async || kill(plugin, None).is_err().then_some(()))
            .await;
        let log = std::fs::read_to_string(pids.with_added_extension("log")).unwrap();
        assert!(log.contains("left_group: true"), "{log}");
        // Ends the remaining process.
        let _ = kill(wrapper, Signal::SIGKILL);
        outer.wait().await.unwrap();
    }
}

async fn output(command: &mut Command) -> Output {
    command.output().await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn it_answers_the_queries_of_spin_without_an_application() {
    let help = output(plugin().arg("--help-args-only")).await;
    assert!(help.status.success());
    for flag in ["--variable", "--runtime-config-file", "--operator", "--follow", "-q"] {
        assert!(text(&help.stdout).contains(flag), "{flag}");
    }
    let metadata = output(plugin().arg("--launch-metadata-only")).await;
    assert!(metadata.status.success());
    let metadata: Value = serde_json::from_slice(&metadata.stderr).unwrap();
    let log_dir = serde_json::json!({ "short": "-L", "long": "--log-dir" });
    assert!(metadata["all_flags"].as_array().unwrap().contains(&log_dir), "{metadata}");
}

#[tokio::test]
async fn errors_name_the_cause() {
    let locked = Locked::new("spin.toml").unwrap();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["--nonsense"], 2, "unexpected argument '--nonsense'"),
        (&["--variable", "kafka_broker=x"], 1, "`kafka_broker`: not declared"),
        (&["--variable", "oops"], 2, "NAME=VALUE"),
        (&["--follow", "agregator"], 1, "no component `agregator`; it has"),
        (&["--runtime-config-file", "nowhere.toml"], 1, "nowhere.toml"),
        (&["--provide", "spin-kafka:events/producer", "--quiet", "--follow", "x"], 2, "--follow"),
    ];
    for (args, code, expected) in cases {
        let output = output(locked.plugin().args(args)).await;
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.contains(expected), "{args:?}: {error}");
    }
    let alone = output(&mut plugin()).await;
    assert_eq!(alone.status.code(), Some(1));
    assert!(text(&alone.stderr).contains("SPIN_LOCKED_URL is not set"), "{alone:?}");
    // Started by a Spin that has already ended, so the parent is another program.
    let orphan = output(locked.plugin().env("SPIN_BIN_PATH", "/bin/sh")).await;
    assert_eq!(orphan.status.code(), Some(1));
    assert!(text(&orphan.stderr).contains("`spin up` ended before"), "{orphan:?}");
}

#[tokio::test]
async fn a_required_variable_must_have_a_value() {
    let manifest = std::fs::read_to_string(root().join("spin.toml")).unwrap();
    let required = manifest
        .replace("kafka_topic = { default = \"sales-topic\"", "kafka_topic = { required = true");
    let file = tempfile::Builder::new().suffix(".toml").tempfile_in(root()).unwrap();
    std::fs::write(file.path(), required).unwrap();
    let output = output(&mut Locked::at(file.path()).unwrap().plugin()).await;
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.contains("`kafka_topic`") && error.contains("SPIN_VARIABLE_KAFKA_TOPIC"),
        "{error}"
    );
}

#[test]
fn the_packed_plugins_match_their_manifests() {
    let folder = root().join("target/plugin");
    for name in ["trigger-kafka", "trigger-amqp"] {
        let manifest = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest["name"], name);
        assert_eq!(manifest["spinCompatibility"], ">=4.1");
        let package = &manifest["packages"][0];
        let tarball = std::fs::read(package["url"].as_str().unwrap().trim_start_matches("file://"));
        let tarball = tarball.unwrap();
        assert_eq!(package["sha256"], format!("{:x}", Sha256::digest(&tarball)));
        let unpacked = tempfile::tempdir().unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(tarball.as_slice()));
        archive.unpack(unpacked.path()).unwrap();
        let answer =
            std::process::Command::new(unpacked.path().join(name)).arg("--version").output();
        let answer = answer.unwrap();
        assert!(text(&answer.stdout).starts_with(&format!("{name} ")), "{answer:?}");
    }
}
