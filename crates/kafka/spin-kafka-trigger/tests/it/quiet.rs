//! Health of a member that has nothing to read.

use std::ops::Range;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use spin_kafka_trigger::{Config, Position, Start};
use test_servers::{Kafka, KafkaConfig};

use crate::support::cluster::{
    add_partitions, brokers, create_topic, delete_records, delete_topic,
};
use crate::support::{Session, WAIT_LIMIT, committed, config, produce, until};

/// A producer that has begun a transaction.
fn transaction(brokers: &str, id: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("transactional.id", id)
        .create()
        .unwrap();
    producer.init_transactions(WAIT_LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    producer
}

fn write(producer: &BaseProducer, topic: &str, records: usize) {
    for _ in 0..records {
        producer.send(BaseRecord::<(), _>::to(topic).partition(0).payload("x")).unwrap();
    }
    producer.flush(WAIT_LIMIT).unwrap();
}

/// With these settings a partition with unread records counts as stalled at once.
fn strict(brokers: &str, topic: &str) -> Config {
    config(brokers, topic).stalled_after(Duration::from_millis(1))
}

fn lag(session: &Session) -> Option<u64> {
    session.progress.partitions().first().map(|partition| partition.lag)
}

async fn markers_are_not_lag(topic: &'static str, keeps_position: bool) {
    let brokers = brokers();
    create_topic(&brokers, topic, 1).await;
    let writing = brokers.clone();
    let committing = tokio::task::spawn_blocking(move || {
        let producer = transaction(&writing, topic);
        write(&producer, topic, 3);
        producer.commit_transaction(WAIT_LIMIT).unwrap();
        producer
    });
    let producer = committing.await.unwrap();
    let position = if keeps_position { Position::Start } else { Position::Committed };
    let mut session = Session::start_at(strict(&brokers, topic), move |_, _, _| Ok(position));
    session.apply_until(3).await;
    // The marker that ends the transaction is the fourth offset.
    if keeps_position {
        let batch = session.call().await.apply();
        assert_eq!((batch.start, batch.end, batch.records.len()), (3, 4, 0));
    }
    until("no lag", || lag(&session) == Some(0)).await;
    until("the commit", || committed(&brokers, topic, topic, 0) == Some(4)).await;

    let aborting = tokio::task::spawn_blocking(move || {
        producer.begin_transaction().unwrap();
        write(&producer, topic, 500);
        producer.abort_transaction(WAIT_LIMIT).unwrap();
    });
    aborting.await.unwrap();
    if keeps_position {
        session.apply_until(505).await;
    }
    until("the commit", || committed(&brokers, topic, topic, 0) == Some(505)).await;
    until("no lag", || lag(&session) == Some(0)).await;
    assert_eq!(session.progress.stalled(), []);
    assert_eq!(session.metrics.records_lost.get(), 0);
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_at_the_end_of_the_log_are_not_lag() {
    markers_are_not_lag("markers-at-the-end", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_at_the_end_of_the_log_move_a_kept_position() {
    markers_are_not_lag("markers-at-the-end-kept", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_after_an_open_transaction_are_lag_but_not_a_stall() {
    let (brokers, topic) = (brokers(), "open-transaction");
    create_topic(&brokers, topic, 1).await;
    let mut session = Session::start(strict(&brokers, topic));
    produce(&brokers, topic, 0, 1, 10);
    session.apply_until(1).await;
    let writing = brokers.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let producer = transaction(&writing, topic);
        write(&producer, topic, 1);
        producer
    });
    let producer = opened.await.unwrap();
    produce(&brokers, topic, 0, 1, 10);
    until("the lag", || lag(&session) == Some(2)).await;
    until("health", || session.progress.stalled().is_empty()).await;
    let ended =
        tokio::task::spawn_blocking(move || producer.abort_transaction(WAIT_LIMIT).unwrap());
    ended.await.unwrap();
    session.apply_until(3).await;
    until("no lag", || lag(&session) == Some(0)).await;
    session.stop().await;
}

/// Retention may have deleted all unread records.
#[tokio::test(flavor = "multi_thread")]
async fn expired_records_at_the_end_of_the_log_are_lost_but_not_lag() {
    let (brokers, topic) = (brokers(), "expired");
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 10, 10);
    delete_records(&brokers, topic, 0, 10).await;
    let mut session = Session::start_at(strict(&brokers, topic), |_, _, _| Ok(Position::At(5)));
    let batch = session.call().await.apply();
    assert_eq!((batch.start, batch.end, batch.records.len()), (5, 10, 0));
    until("no lag", || lag(&session) == Some(0)).await;
    assert_eq!(session.progress.stalled(), []);
    assert_eq!(session.metrics.records_lost.get(), 5);
    session.stop().await;
}

/// The group's leader assigns partitions while the topic is deleted. When the topic exists again,
/// nothing in the group changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_created_again_while_the_group_forms_is_read() {
    let topic = "formed-without";
    let properties = vec!["group.initial.rebalance.delay.ms=3000".to_owned()];
    let kafka = Kafka::start(KafkaConfig { properties, ..KafkaConfig::default() }).await.unwrap();
    let brokers = kafka.bootstrap();
    create_topic(&brokers, topic, 2).await;
    let mut session = Session::start(config(&brokers, topic));
    delete_topic(&brokers, topic).await;
    // This sleep is part of the fault: the group is formed in the meantime.
    tokio::time::sleep(Duration::from_secs(6)).await;
    create_topic(&brokers, topic, 2).await;
    produce(&brokers, topic, 0, 5, 10);
    produce(&brokers, topic, 1, 5, 10);
    for _ in 0..2 {
        session.apply_until(5).await;
    }
    // The check that notices both runs every 15 s.
    until("no complaint", || session.progress.missing_topics().is_empty()).await;
    until("readers of both partitions", || session.progress.unread_partitions().is_empty()).await;
    session.stop().await;
    kafka.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_exist_is_reported() {
    let (brokers, topic) = (brokers(), "not-yet");
    let mut session = Session::start(config(&brokers, topic));
    until("the complaint", || session.progress.missing_topics() == [topic]).await;
    create_topic(&brokers, topic, 1).await;
    produce(&brokers, topic, 0, 1, 10);
    session.apply_until(1).await;
    until("no complaint", || session.progress.missing_topics().is_empty()).await;
    session.stop().await;
}

/// Writes to partitions that were just added. Every record must be delivered.
async fn read_added(session: &mut Session, brokers: &str, topic: &str, added: Range<i32>) {
    add_partitions(brokers, topic, added.end).await;
    for partition in added.clone() {
        produce(brokers, topic, partition, 20, 10);
    }
    let mut records = 0;
    while records < 20 * added.len() {
        let batch = session.call().await.apply();
        assert!(added.contains(&batch.partition), "{}", batch.partition);
        records += batch.records.len();
    }
    for partition in added {
        until("the commit", || committed(brokers, topic, topic, partition) == Some(20)).await;
    }
    assert_eq!(session.metrics.records_lost.get(), 0);
}

/// With `latest`, a group skips the records that are in the topic when it begins, and no others.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_added_under_latest_are_read_from_their_beginning() {
    let (brokers, topic) = (brokers(), "added-partitions");
    create_topic(&brokers, topic, 2).await;
    for partition in 0..2 {
        produce(&brokers, topic, partition, 5, 10);
    }
    let config = config(&brokers, topic).start(Start::Latest);
    let mut session = Session::start(config.clone());
    for partition in 0..2 {
        until("the first commit", || committed(&brokers, topic, topic, partition) == Some(5)).await;
    }
    read_added(&mut session, &brokers, topic, 2..4).await;
    session.stop().await;
    // Another member learns from the commits how many partitions there were.
    let mut session = Session::start(config);
    until("the assignment", || session.progress.partitions().len() == 4).await;
    read_added(&mut session, &brokers, topic, 4..5).await;
    session.stop().await;
}
