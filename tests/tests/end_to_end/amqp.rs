//! A function with a state, `examples/word-count`, on a real RabbitMQ.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{Method, StatusCode};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pipeline_tests::{Client, Launch, Locked, Pipeline, Store, eventually, root};
use test_servers::{
    QueueClient, QueueMessage, RabbitMq, RabbitMqConfig, ValkeyConfig, free_port, start_valkey,
};

use crate::letters::command;
use crate::weather::posts_are_counted_over_both_brokers;

const QUEUE: &str = "texts";

/// Only texts with a lower number are followed by a message that is not a text. Their dead letters are
/// written before the broker is killed: RabbitMQ 3.10 may not elect a leader for a queue with one
/// member that nobody reads, when it starts after a crash.
const BAD_BEFORE: u32 = 400;

/// The setting of the manifest after which those of the test are inserted.
const LAST_SETTING: &str = "queue = \"{{ amqp_queue }}\"\n";

fn words(number: u32) -> [String; 3] {
    [number % 7, number % 11, number * number % 13].map(|n| format!("word{n}"))
}

/// Publishes texts. Every fifth one is published twice, like after a lost confirmation; every
/// hundredth one of the first texts is followed by a message that is not a text.
async fn publish(client: &QueueClient, time_s: u64, numbers: std::ops::Range<u32>) {
    let texts = numbers.flat_map(|number| {
        let text = move || {
            let message = QueueMessage::new(&format!("text{number}"), &words(number).join(" "));
            message.with_timestamp_s(time_s)
        };
        let bad = QueueMessage::of_bytes(&format!("bad{number}"), &[0xff]);
        let repeated = number.is_multiple_of(5).then(text);
        [text()]
            .into_iter()
            .chain(repeated)
            .chain((number % 100 == 0 && number < BAD_BEFORE).then_some(bad))
    });
    client.publish(QUEUE, texts).await.unwrap();
}

async fn texts(store: &Store) -> Option<u32> {
    store.get("{word-count:1}:texts").await?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_counted_once_across_kills_of_the_program_and_the_broker() {
    let valkey = start_valkey(ValkeyConfig::default());
    let (broker, valkey) = tokio::join!(RabbitMq::start(RabbitMqConfig::default()), valkey);
    let (mut broker, valkey) = (broker.unwrap(), valkey.unwrap());
    let store = Store::connect(&valkey.url()).await.unwrap();
    // Small batches, so that there are many.
    let manifest = root().join("examples/word-count/spin-amqp.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    assert!(text.contains(LAST_SETTING));
    let settings = format!("{LAST_SETTING}batch_records_max = 20\nprefetch = 50\n");
    let text = text.replace(LAST_SETTING, &settings);
    let beside = tempfile::Builder::new().suffix(".toml").tempfile_in(manifest.parent().unwrap());
    let file = beside.unwrap();
    std::fs::write(&file, text).unwrap();
    let manifest = file.path();
    let time_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    // The application does not use Kafka.
    let mut launch = Launch::new(manifest, "127.0.0.1:1", valkey.url(), QUEUE)
        .variable("amqp_url", &broker.url())
        .variable("amqp_queue", QUEUE);
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    launch.envs.push(("DOORBUSTER_OPERATOR".into(), address.clone()));
    let operator = Client::new(&format!("http://{address}"));
    let get = async |path| operator.send(Method::GET, path, &[], "").await;
    let ready = async |status: StatusCode, part: &str| {
        eventually("the expected readiness", async || {
            let answer = get("/readyz").await.ok()?;
            (answer.status == status && answer.text().contains(part)).then_some(())
        })
        .await;
    };
    let running = Pipeline::launch(&launch).await.unwrap();
    let missing = "word-count: queue texts does not exist";
    ready(StatusCode::SERVICE_UNAVAILABLE, missing).await;
    let client = QueueClient::connect(&broker.url()).await.unwrap();
    for queue in [QUEUE, "texts.dead-letter"] {
        client.declare(queue).await.unwrap();
    }
    ready(StatusCode::OK, "").await;

    publish(&client, time_s, 0..400).await;
    // Both are killed while messages are applied, the program while others are published.
    let reached = async |count: u32| {
        eventually("texts are counted", async || texts(&store).await.filter(|n| *n >= count)).await
    };
    reached(1).await;
    let crash = async {
        reached(50).await;
        running.kill().await.unwrap();
    };
    tokio::join!(publish(&client, time_s, 400..800), crash);
    // The plugin for Spin continues.
    let locked = Locked::at(manifest).unwrap();
    let mut plugin = locked.amqp_plugin().unwrap();
    let valkey_address = valkey.url().trim_start_matches("redis://").to_owned();
    for (name, value) in [
        ("amqp_url", broker.url()),
        ("valkey_url", valkey.url()),
        ("valkey_address", valkey_address),
    ] {
        plugin.arg("--variable").arg(format!("{name}={value}"));
    }
    let mut plugin = plugin.env("DOORBUSTER_OPERATOR", &address).spawn().unwrap();
    reached(500).await;
    // A letter is written at least once. One that is sent back fails again.
    let amqp_url = format!("amqp_url={}", broker.url());
    let dlq = async |words: &[&str]| {
        let application = ["--from", manifest.to_str().unwrap(), "--variable", &amqp_url];
        let (success, output, error) = command(&[&["dlq"], words, &application].concat()).await;
        assert!(success, "{error}");
        output
    };
    let list = dlq(&["list"]).await;
    assert!(list.contains("rejected") && list.contains(" texts/0@"), "{list}");
    assert!(dlq(&["show", "0/1"]).await.contains("0xff"));
    let replayed = dlq(&["replay", "--max", "1"]).await;
    assert!(replayed.ends_with("1 letters sent back\n"), "{replayed}");
    for _ in (0..BAD_BEFORE).step_by(100) {
        let taken = async || client.take("texts.dead-letter").await.ok()?;
        assert_eq!(eventually("a letter", taken).await.data, [0xff]);
    }
    broker.kill().await.unwrap();
    let lost = "word-count: not connected to the broker";
    ready(StatusCode::SERVICE_UNAVAILABLE, lost).await;
    broker.restart().await.unwrap();
    ready(StatusCode::OK, "").await;
    let client = QueueClient::connect(&broker.url()).await.unwrap();
    publish(&client, time_s, 800..1_000).await;

    // A text without a repetition at the end: once it is counted, all others were applied.
    reached(1_000).await;
    eventually("the queue is empty", async || {
        (client.waiting(QUEUE).await.ok()? == 0).then_some(())
    })
    .await;
    let metrics = get("/metrics").await.unwrap().text();
    let lag = r#"spin_kafka_lag{component="word-count",topic="texts",partition="0"}"#;
    assert!(metrics.contains(lag), "{metrics}");
    let pid = Pid::from_raw(plugin.id().unwrap().try_into().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(plugin.wait().await.unwrap().success());
    assert_eq!(client.waiting(QUEUE).await.unwrap(), 0, "all are acknowledged");
    assert_eq!(texts(&store).await, Some(1_000));
    let mut expected: BTreeMap<String, u32> = BTreeMap::new();
    for word in (0..1_000).flat_map(words) {
        *expected.entry(word).or_default() += 1;
    }
    let key = format!("{{word-count:1}}:minute:{}", time_s / 60);
    let counted = store.fields(&key).await.unwrap();
    let counted: BTreeMap<String, u32> =
        counted.into_iter().map(|(word, count)| (word, count.parse().unwrap())).collect();
    assert_eq!(counted, expected);

    posts_are_counted_over_both_brokers(&broker.url(), &valkey.url()).await;
}
