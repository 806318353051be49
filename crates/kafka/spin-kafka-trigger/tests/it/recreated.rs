//! A topic that is deleted and created again is another log, no matter how long the new log is and
//! when it is created: no state of the old log applies to the new one.

use std::time::Duration;

use futures::future::join_all;
use rdkafka::admin::TopicReplication;
use spin_kafka_trigger::{GroupProtocol, Trigger};
use test_servers::{ClusterConfig, KafkaCluster};
use tokio_util::sync::CancellationToken;

use crate::support::cluster::{brokers, create_topic, create_topic_as, delete_topic};
use crate::support::store::Store;
use crate::support::{config, produce, show_log, until, within};

/// Records in the first log.
const FIRST: usize = 10;

/// How a topic is created again.
#[derive(Clone, Copy)]
struct Case {
    protocol: GroupProtocol,
    /// Records in the new log.
    records: usize,
    /// Time between the deletion and the creation.
    after: Duration,
    /// Whether more records follow one by one.
    traffic: bool,
}

impl Case {
    async fn run(self, topic: String) {
        let brokers = brokers();
        create_topic(&brokers, &topic, 1).await;
        produce_all(&brokers, &topic, FIRST).await;
        let store = Store::default();
        let stop = CancellationToken::new();
        let config = config(&brokers, &topic).group_protocol(self.protocol);
        let member =
            tokio::spawn(Trigger::run(config, store.clone(), stop.clone().cancelled_owned()));
        until("the first log", || store.total() == FIRST).await;

        delete_topic(&brokers, &topic).await;
        // This sleep is part of the fault: there is no condition to wait for.
        tokio::time::sleep(self.after).await;
        create_topic(&brokers, &topic, 1).await;
        let mut records = self.records;
        produce_all(&brokers, &topic, records).await;
        if self.traffic {
            for _ in 0..5 {
                produce_all(&brokers, &topic, 1).await;
            }
            records += 5;
        }
        until("the second log", || store.total() >= FIRST + records).await;
        stop.cancel();
        let summary = within("the member's end", member).await.unwrap().unwrap();
        assert_eq!(summary.records as usize, FIRST + records, "{topic}");

        let offsets = |count: usize| (0..count as i64).collect::<Vec<_>>();
        let mut expected = vec![offsets(FIRST), offsets(records)];
        expected.sort_by_key(|log| std::cmp::Reverse(log.len()));
        assert_eq!(store.applied(), expected, "{topic}");
    }
}

async fn produce_all(brokers: &str, topic: &str, records: usize) {
    let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || produce(&brokers, &topic, 0, records, 10)).await.unwrap();
}

async fn every_length(protocol: GroupProtocol, name: &str) {
    let mut cases = Vec::new();
    for (records, length) in [(FIRST / 2, "shorter"), (FIRST, "equal"), (3 * FIRST, "longer")] {
        for seconds in [0, 3, 12, 35] {
            // Some faults are detected only while the topic is quiet, others only with traffic.
            for traffic in [false, true].into_iter().filter(|traffic| *traffic || seconds < 35) {
                let after = Duration::from_secs(seconds);
                let case = Case { protocol, records, after, traffic };
                cases.push(case.run(format!("{name}-{length}-{seconds}-{traffic}")));
            }
        }
    }
    join_all(cases).await;
}

/// Every election raises a partition's leader epoch; the epoch of a new topic begins at 0.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_created_again_after_elections_is_read() {
    let mut cluster = KafkaCluster::start(ClusterConfig::default()).await.unwrap();
    let (brokers, topic) = (cluster.bootstrap(), "created-again-after-elections");
    create_topic_as(&brokers, topic, TopicReplication::Fixed(3), 1, &[]).await;
    produce_all(&brokers, topic, FIRST).await;
    let (store, stop) = (Store::default(), CancellationToken::new());
    show_log();
    let run = Trigger::run(config(&brokers, topic), store.clone(), stop.clone().cancelled_owned());
    let member = tokio::spawn(run);
    for broker in 0..3 {
        cluster.kill(broker).await.unwrap();
        cluster.restart(broker).await.unwrap();
    }
    produce_all(&brokers, topic, FIRST).await;
    until("what was written after the elections", || store.total() == 2 * FIRST).await;
    delete_topic(&brokers, topic).await;
    create_topic_as(&brokers, topic, TopicReplication::Fixed(3), 1, &[]).await;
    produce_all(&brokers, topic, FIRST).await;
    until("the second log", || store.total() == 3 * FIRST).await;
    stop.cancel();
    within("the member's end", member).await.unwrap().unwrap();
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_created_again_is_read_once_from_its_beginning() {
    every_length(GroupProtocol::Classic, "created-again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_created_again_is_read_once_by_a_kip_848_member() {
    every_length(GroupProtocol::Consumer, "created-again-848").await;
}
