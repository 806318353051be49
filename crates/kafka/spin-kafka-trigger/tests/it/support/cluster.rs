//! A real Kafka broker and its topics.

use super::WAIT_LIMIT;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use test_servers::shared_kafka;

/// The address of the broker that all tests share.
pub fn brokers() -> String {
    shared_kafka().bootstrap()
}

fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap()
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(WAIT_LIMIT)).request_timeout(Some(WAIT_LIMIT))
}

/// Creates a topic and waits until every partition has a leader.
pub async fn create_topic(brokers: &str, topic: &str, partitions: i32) {
    create_topic_with(brokers, topic, partitions, &[]).await;
}

/// Creates a topic with these settings.
pub async fn create_topic_with(
    brokers: &str,
    topic: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) {
    create_topic_as(brokers, topic, TopicReplication::Fixed(1), partitions, settings).await;
}

/// Creates a topic with these settings and replicas.
pub async fn create_topic_as(
    brokers: &str,
    topic: &str,
    replicas: TopicReplication<'_>,
    partitions: i32,
    settings: &[(&str, &str)],
) {
    let admin = admin(brokers);
    let wanted = NewTopic::new(topic, partitions, replicas);
    let wanted = settings.iter().fold(wanted, |wanted, (name, value)| wanted.set(name, value));
    for made in admin.create_topics([&wanted], &options()).await.unwrap() {
        made.unwrap();
    }
    await_leaders(&admin, topic, usize::try_from(partitions).unwrap()).await;
}

async fn await_leaders(admin: &AdminClient<DefaultClientContext>, topic: &str, partitions: usize) {
    super::until("the topic's leaders", || {
        let metadata = admin.inner().fetch_metadata(Some(topic), WAIT_LIMIT).unwrap();
        let found = metadata.topics()[0].partitions();
        found.len() >= partitions && found.iter().all(|partition| partition.leader() >= 0)
    })
    .await;
}

/// Increases the number of a topic's partitions, and waits for the leaders of the new ones.
pub async fn add_partitions(brokers: &str, topic: &str, partitions: i32) {
    let admin = admin(brokers);
    let wanted = usize::try_from(partitions).unwrap();
    for added in
        admin.create_partitions([&NewPartitions::new(topic, wanted)], &options()).await.unwrap()
    {
        added.unwrap();
    }
    await_leaders(&admin, topic, wanted).await;
}

/// Deletes a topic and waits until it is gone.
pub async fn delete_topic(brokers: &str, topic: &str) {
    let admin = admin(brokers);
    for gone in admin.delete_topics(&[topic], &options()).await.unwrap() {
        gone.unwrap();
    }
    super::until("the topic's end", || {
        let metadata = admin.inner().fetch_metadata(Some(topic), WAIT_LIMIT).unwrap();
        metadata.topics()[0].error().is_some()
    })
    .await;
}

/// Deletes the records of a partition before an offset.
pub async fn delete_records(brokers: &str, topic: &str, partition: i32, before: i64) {
    let mut until = TopicPartitionList::new();
    until.add_partition_offset(topic, partition, Offset::Offset(before)).unwrap();
    admin(brokers).delete_records(&until, &options()).await.unwrap();
}

/// Changes a topic's settings; those that are not named get the brokers' defaults.
pub async fn alter_topic(brokers: &str, topic: &str, settings: &[(&str, &str)]) {
    let altered = AlterConfig::new(ResourceSpecifier::Topic(topic));
    let altered = settings.iter().fold(altered, |altered, (name, value)| altered.set(name, value));
    for done in admin(brokers).alter_configs(&[altered], &options()).await.unwrap() {
        done.unwrap();
    }
}
