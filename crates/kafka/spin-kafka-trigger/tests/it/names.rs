//! A member with a static name that was killed and is started again.

use std::path::Path;

use serde_json::json;
use spin_kafka_trigger::{Config, GroupProtocol, Trigger};
use test_servers::{Kafka, KafkaConfig};

use crate::support::cluster::create_topic;
use crate::support::journal::Journal;
use crate::support::{Session, committed, config, member, produce, until};

const TOPIC: &str = "lasting-name";

fn named(brokers: &str) -> Config {
    config(brokers, TOPIC).instance_id("one").group_protocol(GroupProtocol::Consumer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_kip_848_member_joins_again_under_its_static_name() {
    if let Some(settings) = member::settings() {
        let text = |name: &str| settings[name].as_str().unwrap().to_owned();
        let journal = Journal::new(Path::new(&text("folder")), false);
        Trigger::run(named(&text("brokers")), journal, member::terminated()).await.unwrap();
        return;
    }
    let properties = vec![
        "group.consumer.min.session.timeout.ms=1000".to_owned(),
        "group.consumer.session.timeout.ms=12000".to_owned(),
    ];
    let kafka = Kafka::start(KafkaConfig { properties, ..KafkaConfig::default() }).await.unwrap();
    let brokers = kafka.bootstrap();
    create_topic(&brokers, TOPIC, 1).await;
    produce(&brokers, TOPIC, 0, 5, 10);
    let folder = tempfile::tempdir().unwrap();
    let mut first = member::start(
        "names::a_killed_kip_848_member_joins_again_under_its_static_name",
        &json!({ "brokers": brokers, "folder": folder.path() }),
        &folder.path().join("log"),
    );
    until("the first commit", || committed(&brokers, TOPIC, TOPIC, 0) == Some(5)).await;
    first.kill().await.unwrap();

    // The broker has not detected yet that the first one ended.
    produce(&brokers, TOPIC, 0, 5, 10);
    let mut second = Session::start(named(&brokers));
    second.apply_until(10).await;
    second.stop().await;
    kafka.stop().await.unwrap();
}
