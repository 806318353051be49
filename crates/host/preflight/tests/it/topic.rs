//! Tests with topics of a real Kafka broker.

use std::time::Duration;

use crate::support::broker::{GUEST, PASSWORD, create, kafka};
use crate::support::{
    assert_refused, assert_unreachable, closed_port, properties, settings, silent_port, within,
};
use preflight::{Cluster, Error, Warning, check_topic, check_topic_exists};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;
use test_servers::{Listener, WAIT_LIMIT};

async fn check(topic: &str) -> Result<Vec<Warning>, Error> {
    check_at(&kafka().bootstrap(), topic).await
}

fn cluster(brokers: &str) -> Cluster {
    Cluster { brokers: brokers.into(), ..Cluster::default() }
}

async fn check_at(brokers: &str, topic: &str) -> Result<Vec<Warning>, Error> {
    within("the check", check_topic(&cluster(brokers), topic)).await
}

async fn check_as_guest(password: &str, topic: &str) -> Result<Vec<Warning>, Error> {
    let brokers = kafka().listener(Listener::Sasl).unwrap();
    let client = properties(&[
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", GUEST),
        ("sasl.password", password),
    ]);
    within("the check", check_topic(&Cluster { client, ..cluster(&brokers) }, topic)).await
}

/// Waits until the topic is known: Kafka creates a topic shortly before all requests see it.
async fn known(topic: &str) {
    within("the topic", async {
        while check(topic).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn with_defaults_only_a_single_broker_causes_a_warning() {
    create("by-default", &[]).await;
    known("by-default").await;
    let warnings = check("by-default").await.unwrap();
    assert_eq!(settings(&warnings), ["replication factor"]);
    assert_eq!(warnings[0].found, "1");
}

#[tokio::test]
async fn every_setting_is_read() {
    let unsound = [
        ("cleanup.policy", "compact,delete"),
        ("retention.ms", "3600000"),
        ("retention.bytes", "1073741824"),
        ("min.insync.replicas", "2"),
        ("unclean.leader.election.enable", "true"),
        ("max.message.bytes", "100000"),
    ];
    create("unsound", &unsound).await;
    known("unsound").await;
    let warnings = check("unsound").await.unwrap();
    let mut found = settings(&warnings);
    found.retain(|setting| *setting != "replication factor");
    assert_eq!(found, unsound.map(|(name, _)| name));
    let retention = warnings.iter().find(|warning| warning.setting == "retention.ms").unwrap();
    assert!(retention.to_string().contains("3600000 (1 hour)"), "{retention}");
}

#[tokio::test]
async fn a_missing_topic_is_an_error_and_not_created() {
    let error = check("missing").await.unwrap_err();
    assert_refused(&error, "topic `missing`", PASSWORD);
    // Topics become visible in the order of their creation.
    create("created-later", &[]).await;
    known("created-later").await;
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", kafka().bootstrap()).create().unwrap();
    let metadata = client.fetch_metadata(None, WAIT_LIMIT).unwrap();
    assert!(metadata.topics().iter().all(|topic| topic.name() != "missing"));
}

#[tokio::test]
async fn settings_that_the_user_may_not_read_are_named() {
    create("half-open", &[]).await;
    known("half-open").await;
    let warnings = check_as_guest(PASSWORD, "half-open").await.unwrap();
    let [replication, not_known] = &warnings[..] else { panic!("{warnings:?}") };
    assert_eq!(replication.setting, "replication factor");
    assert!(not_known.setting.contains("unclean.leader.election.enable"), "{not_known}");
    assert!(not_known.remedy.contains("DescribeConfigs"), "{not_known}");
}

#[tokio::test]
async fn a_topic_that_may_not_be_described_is_a_refusal() {
    create("closed", &[]).await;
    known("closed").await;
    let error = check_as_guest(PASSWORD, "closed").await.unwrap_err();
    assert_refused(&error, "topic `closed`", PASSWORD);
}

#[tokio::test]
async fn a_wrong_password_is_a_refusal_and_not_shown() {
    let error = check_as_guest("not-the-password", "half-open").await.unwrap_err();
    assert_refused(&error, &kafka().listener(Listener::Sasl).unwrap(), "not-the-password");
}

#[tokio::test]
async fn a_wrong_port_is_unreachable() {
    let brokers = format!("127.0.0.1:{}", closed_port().await);
    let error = check_at(&brokers, "sales").await.unwrap_err();
    assert_unreachable(&error, &brokers);
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn a_broker_that_never_answers_is_unreachable() {
    let (_listener, port) = silent_port().await;
    let brokers = format!("127.0.0.1:{port}");
    assert_unreachable(&check_at(&brokers, "sales").await.unwrap_err(), &brokers);
}

#[tokio::test]
async fn a_broker_that_never_reports_the_settings_is_unreachable() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("sales", 1, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    assert_unreachable(&check_at(&brokers, "sales").await.unwrap_err(), &brokers);
}

#[tokio::test]
async fn an_empty_address_is_an_error() {
    let error = check_at(" ", "sales").await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error}");
}

#[tokio::test]
async fn a_property_that_librdkafka_rejects_is_named_without_its_value() {
    let client = properties(&[("sasl.passwort", "hunter2")]);
    let cluster = Cluster { client, ..cluster("127.0.0.1:9092") };
    let error = check_topic(&cluster, "sales").await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }) && !error.is_retriable(), "{error}");
    assert!(error.to_string().contains("client.\"sasl.passwort\""), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn a_check_that_would_need_a_token_names_the_unchecked_settings() {
    let client = properties(&[("sasl.mechanism", "OAUTHBEARER")]);
    let cluster = Cluster { client, ..cluster("127.0.0.1:9092") };
    let warnings = check_topic(&cluster, "sales").await.unwrap();
    let [not_known] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(not_known.setting.contains("replication factor"), "{not_known}");
    assert!(not_known.remedy.contains("OAUTHBEARER"), "{not_known}");
}

#[tokio::test]
async fn a_topic_that_is_missing_is_an_error() {
    let exists = async |topic: &str| {
        let cluster = cluster(&kafka().bootstrap());
        within("the check", check_topic_exists(&cluster, topic)).await
    };
    create("there", &[]).await;
    known("there").await;
    assert_eq!(exists("there").await.map_err(|error| error.to_string()), Ok(()));
    let fault = exists("not-there").await.unwrap_err().to_string();
    assert!(fault.contains("`not-there`") && fault.contains("create it"), "{fault}");
}
