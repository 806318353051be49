//! Brokers that require tokens of an OpenID Connect provider: trigger, producer, checks and commands
//! get them, and renew them under load.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use host_producer::{NewTopic, OutgoingRecord, Producer, ProducerConfig, ensure_topic};
use pipeline_tests::{Pipeline, doorbuster, root};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;
use tempfile::TempDir;
use test_servers::{Kafka, KafkaConfig, Listener, OidcConfig, OidcProvider, Security, WAIT_LIMIT};

use crate::functions::logged;
use crate::letters::command;

const CLIENT: &str = "copies-app";
const SECRET: &str = "hunter2-of-the-client";
const AUDIENCE: &str = "kafka";
/// How long a token is valid. A connection must authenticate again before.
const TOKEN_LIFETIME: Duration = Duration::from_secs(12);
/// How long records are written: more than two lifetimes.
const LOAD: Duration = Duration::from_secs(26);
/// The time of the load after which the provider is stopped.
const BEFORE_OUTAGE: Duration = Duration::from_secs(8);
/// The pause between two records.
const PAUSE: Duration = Duration::from_millis(10);
/// The shortest time from a token to its renewal.
const RENEWAL_MIN: Duration = Duration::from_secs(6);

fn manifest(certificate: &str, issuer: &str) -> String {
    format!(
        r#"
spin_manifest_version = 2
[application]
name = "copies-records"
[variables]
kafka_brokers = {{ default = "" }}
[application.trigger.kafka]
brokers = "{{{{ kafka_brokers }}}}"
[application.trigger.kafka.client]
"security.protocol" = "sasl_ssl"
"ssl.ca.pem" = """
{certificate}"""
[application.trigger.kafka.oauth]
issuer = "{issuer}"
client_id = "{CLIENT}"
client_secret = "{SECRET}"
audience = "{AUDIENCE}"
[[trigger.kafka]]
component = "copies-records"
topic = "numbers"
group = "copies"
[component.copies-records]
source = "copies_records.wasm"
allowed_outbound_hosts = ["tcp://{{{{ kafka_brokers }}}}"]
"#
    )
}

async fn start_kafka(provider: &OidcProvider) -> (Kafka, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let security = Security {
        users: Vec::new(),
        authority: cert.pem(),
        certificate: cert.pem(),
        key: signing_key.serialize_pem(),
    };
    let config = KafkaConfig {
        security: Some(security),
        token_issuer: Some(provider.token_issuer()),
        properties: vec![format!("super.users=User:ANONYMOUS;User:{CLIENT}")],
        ..KafkaConfig::default()
    };
    (Kafka::start(config).await.unwrap(), cert.pem())
}

/// Writes a number every `PAUSE` until the end of the load, and returns how many. The provider
/// fails in the meantime, until a token could not be renewed.
async fn write_numbers(producer: &Producer, provider: &mut OidcProvider, app: &Pipeline) -> usize {
    let begun = Instant::now();
    let (mut count, mut failed) = (0, None);
    while begun.elapsed() < LOAD {
        let record = OutgoingRecord {
            topic: "numbers".into(),
            value: Some(count.to_string().into_bytes()),
            ..OutgoingRecord::default()
        };
        producer.send(vec![record]).await.unwrap();
        count += 1;
        tokio::time::sleep(PAUSE).await;
        match failed {
            None if begun.elapsed() > BEFORE_OUTAGE => {
                provider.stop().await;
                failed = Some(true);
            }
            Some(true) if app.log().contains("no new token for Kafka") => {
                provider.resume().await.unwrap();
                failed = Some(false);
            }
            _ => {}
        }
    }
    assert_eq!(failed, Some(false), "no renewal failed:\n{}", app.log());
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_renewed_under_load_and_nothing_is_refused() {
    let client = OidcConfig {
        client_id: CLIENT.into(),
        client_secret: SECRET.into(),
        audience: AUDIENCE.into(),
        token_lifetime: TOKEN_LIFETIME,
    };
    let mut provider = OidcProvider::start(client).await.unwrap();
    let (kafka, certificate) = start_kafka(&provider).await;
    // This client uses the listener without authentication.
    let everything = ProducerConfig::new(kafka.bootstrap());
    for topic in ["numbers", "copies"] {
        ensure_topic(&everything, NewTopic::new(topic, 1)).await.unwrap();
    }
    let folder = TempDir::new().unwrap();
    let wasm = "copies_records.wasm";
    std::fs::copy(root().join("target/components").join(wasm), folder.path().join(wasm)).unwrap();
    let file = folder.path().join("spin.toml");
    std::fs::write(&file, manifest(&certificate, provider.issuer())).unwrap();

    let brokers = kafka.listener(Listener::SaslTls).unwrap();
    let started = Instant::now();
    let app = Pipeline::of_manifest(&file, &brokers, &[]).await.unwrap();
    // It creates the dead-letter topic, and checks both topics.
    logged(&app, &["topic created", "numbers.dead-letter"]).await;
    let producer = Producer::new(everything).unwrap();
    let count = write_numbers(&producer, &mut provider, &app).await;
    // The component counts record 0 as applied before.
    logged(&app, &["copied", &format!("number={}", count - 1)]).await;
    let (issued, elapsed) = (provider.issued(), started.elapsed());
    let log = app.log();
    app.stop().await.unwrap();

    for refusal in ["Kafka client", "no Kafka broker", "could not be checked", SECRET] {
        let line = log.lines().find(|line| line.contains(refusal));
        assert_eq!(line, None, "{log}");
    }
    // The clients of the process share the tokens.
    let lifetimes = u64::try_from(elapsed.as_millis() / RENEWAL_MIN.as_millis()).unwrap();
    assert!((3..=lifetimes + 1).contains(&issued), "{issued} tokens in {elapsed:?}");

    // The commands use the same settings.
    let settings = ["--kafka", &brokers, "--from", file.to_str().unwrap()];
    let capture = ["capture", "--topic", "copies", "--partition", "0", "--max", "1000000"];
    let (captured, records, error) = command(&[&capture[..], &settings].concat()).await;
    assert!(captured, "{error}");
    let mut copies = BTreeMap::new();
    for record in records.lines() {
        let record: Value = serde_json::from_str(record).unwrap();
        let number = record["value"].as_str().unwrap().parse::<usize>().unwrap();
        *copies.entry(number).or_insert(0) += 1;
    }
    let expected: BTreeMap<usize, i32> = (1..count).map(|number| (number, 1)).collect();
    assert_eq!(copies, expected);
    let (listed, _, error) = command(&[&["dlq", "list"][..], &settings].concat()).await;
    assert!(listed, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_the_provider_refuses_does_not_start() {
    let client = OidcConfig {
        client_id: CLIENT.into(),
        client_secret: "another-secret".into(),
        audience: AUDIENCE.into(),
        token_lifetime: TOKEN_LIFETIME,
    };
    let provider = OidcProvider::start(client).await.unwrap();
    let CertifiedKey { cert, .. } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("spin.toml");
    std::fs::write(&file, manifest(&cert.pem(), provider.issuer())).unwrap();
    let wasm = "copies_records.wasm";
    std::fs::copy(root().join("target/components").join(wasm), folder.path().join(wasm)).unwrap();
    let settings = ["--kafka", "127.0.0.1:1", "--from", file.to_str().unwrap()];
    let up = ["up", "--listen", "127.0.0.1:0", "--valkey", "redis://127.0.0.1:1"];
    for words in [&up[..], &["dlq", "list"]] {
        let mut command = doorbuster();
        // A proxy is not used on the loopback interface.
        command.args(words).args(settings).env("HTTP_PROXY", "http://127.0.0.1:9");
        let ended = tokio::time::timeout(WAIT_LIMIT, command.output()).await.expect("it runs");
        let output = ended.unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{words:?}: {error}");
        for part in ["401", "invalid_client", provider.issuer()] {
            assert!(error.contains(part), "{words:?}: {error}");
        }
        assert!(!error.contains(SECRET), "{words:?}: {error}");
    }
}
