//! A log that loses its end: records that were applied are deleted, and other records get their
//! offsets.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseRecord, Producer as _};
use rdkafka::{ClientConfig, admin::TopicReplication};
use spin_kafka_trigger::{Config, Trigger};
use test_servers::{ClusterConfig, Kafka, KafkaCluster, KafkaConfig};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::cluster::{create_topic, create_topic_as};
use crate::support::store::Store;
use crate::support::{WAIT_LIMIT, config, producer, show_log, until, within};

/// A member of a group, with a handler that keeps its position.
struct Member {
    store: Store,
    stop: CancellationToken,
    run: JoinHandle<u64>,
}

impl Member {
    fn start(config: Config) -> Self {
        show_log();
        let (store, stop) = (Store::default(), CancellationToken::new());
        let run = Trigger::run(config, store.clone(), stop.clone().cancelled_owned());
        let run = tokio::spawn(async { run.await.unwrap().records });
        Self { store, stop, run }
    }

    /// Waits until every record of this name was applied. `most` is the highest permitted number of
    /// times.
    async fn applied(&self, name: &str, records: usize, most: usize) {
        for number in 0..records {
            let value = format!("{name}-{number}");
            until(&value, || self.store.times(&value) >= 1).await;
            assert!(self.store.times(&value) <= most, "{value}: {}", self.store.times(&value));
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        within("the member's end", self.run).await.unwrap();
    }
}

/// Writes `name-0`, `name-1` and so on.
async fn write(brokers: &str, topic: &'static str, name: &'static str, records: usize) {
    let brokers = brokers.to_owned();
    let written = move || {
        let producer = producer(&brokers);
        for number in 0..records {
            let value = format!("{name}-{number}");
            producer.send(BaseRecord::<(), _>::to(topic).partition(0).payload(&value)).unwrap();
            producer.flush(WAIT_LIMIT).unwrap();
        }
    };
    tokio::task::spawn_blocking(written).await.unwrap();
}

/// Waits until the partition has a leader and this many replicas in sync.
async fn in_sync(brokers: &str, topic: &str, replicas: usize) {
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    until("the replicas in sync", || {
        let Ok(metadata) = client.fetch_metadata(Some(topic), Duration::from_secs(5)) else {
            return false;
        };
        let partition = metadata.topics()[0].partitions().first();
        partition.is_some_and(|found| found.leader() >= 0 && found.isr().len() == replicas)
    })
    .await;
}

/// The leader accepts records while no other replica is in sync, and is killed. A replica without
/// those records is elected.
async fn unclean_election(topic: &'static str, lost: usize, rewritten: usize) {
    let mut cluster = KafkaCluster::start(ClusterConfig::default()).await.unwrap();
    let brokers = cluster.bootstrap();
    let settings = [("unclean.leader.election.enable", "true"), ("min.insync.replicas", "1")];
    create_topic_as(&brokers, topic, TopicReplication::Variable(&[&[1, 2]]), 1, &settings).await;
    let member = Member::start(config(&brokers, topic));
    write(&brokers, topic, "kept", 10).await;
    member.applied("kept", 10, 1).await;

    cluster.kill(1).await.unwrap();
    in_sync(&brokers, topic, 1).await;
    write(&brokers, topic, "lost", lost).await;
    member.applied("lost", lost, 1).await;
    cluster.kill(0).await.unwrap();
    cluster.restart(1).await.unwrap();
    write(&brokers, topic, "new", rewritten).await;
    member.applied("new", rewritten, 1).await;
    cluster.restart(0).await.unwrap();
    write(&brokers, topic, "later", 5).await;
    member.applied("later", 5, 1).await;
    // If the group rebalanced in the meantime, the records written shortly before are delivered
    // twice; the store of sales recognizes them by their key.
    member.applied("kept", 10, 2).await;
    member.applied("lost", lost, 2).await;
    member.stop().await;
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_the_end_of_the_log_is_read_from_where_the_logs_diverge() {
    unclean_election("unclean-shorter", 20, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_has_written_more_than_was_lost_is_read_from_there_too() {
    unclean_election("unclean-longer", 5, 40).await;
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// The broker loses the leader epochs together with the end of the log: only the records'
/// timestamps show the cut.
#[tokio::test(flavor = "multi_thread")]
async fn no_record_written_after_a_disk_was_restored_is_lost() {
    let topic = "older-disk";
    let folder = tempfile::tempdir().unwrap();
    let (data, older) = (folder.path().join("broker"), folder.path().join("older"));
    let config_of =
        |port| KafkaConfig { port, data_dir: Some(data.clone()), ..KafkaConfig::default() };
    let kafka = Kafka::start(config_of(None)).await.unwrap();
    let (brokers, port) = (kafka.bootstrap(), Some(kafka.port()));
    create_topic(&brokers, topic, 1).await;
    write(&brokers, topic, "kept", 10).await;
    kafka.stop().await.unwrap();
    copy(&data, &older);

    let mut kafka = Kafka::start(config_of(port)).await.unwrap();
    let member = Member::start(config(&brokers, topic));
    write(&brokers, topic, "lost", 20).await;
    member.applied("kept", 10, 1).await;
    member.applied("lost", 20, 1).await;
    kafka.kill().await.unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&older, &data);
    let kafka = Kafka::start(config_of(port)).await.unwrap();
    write(&brokers, topic, "new", 5).await;
    member.applied("new", 5, 1).await;
    // Records written shortly before are delivered twice; the store of sales recognizes them by
    // their key.
    member.applied("kept", 10, 2).await;
    member.applied("lost", 20, 1).await;
    member.stop().await;
    kafka.stop().await.unwrap();
}
