//! Common parts of the tests of a cluster. All requests go to the first broker.

use std::time::{Duration, Instant};

use test_servers::{KafkaCluster, WAIT_LIMIT};

const TOPIC: &str = "sales";

/// Arguments of [`topics`] that create the topic with the cluster's default number of replicas.
pub const CREATE: &[&str] = &["--create", "--partitions", "3"];

/// Waits until `condition` returns true.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < WAIT_LIMIT, "{what}: not within {WAIT_LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until all replicas of all partitions are in sync.
pub async fn all_in_sync(cluster: &KafkaCluster) {
    eventually("all in sync", async || lagging(cluster).await.is_empty()).await;
}

/// The partitions with replicas that are not in sync; empty if there are none.
pub async fn lagging(cluster: &KafkaCluster) -> String {
    topics(cluster, &["--describe", "--under-replicated-partitions"]).await.trim().into()
}

/// Runs the tool for topics on the topic.
pub async fn topics(cluster: &KafkaCluster, args: &[&str]) -> String {
    let args = [&["--topic", TOPIC], args].concat();
    tool(cluster, "TopicCommand", &args).await
}

/// Writes 100 records, each acknowledged by all replicas in sync.
pub async fn write(cluster: &KafkaCluster, more: &[&str]) -> String {
    let records = ["--num-records", "100", "--record-size", "100", "--throughput", "-1"];
    let args = [&["--topic", TOPIC, "--command-property", "acks=all"], &records[..], more].concat();
    tool(cluster, "ProducerPerformance", &args).await
}

/// Number of records in the topic.
pub async fn records(cluster: &KafkaCluster) -> u64 {
    let offsets = tool(cluster, "GetOffsetShell", &["--topic", TOPIC]).await;
    offsets.lines().filter_map(|line| line.rsplit(':').next()?.parse::<u64>().ok()).sum()
}

async fn tool(cluster: &KafkaCluster, class: &str, args: &[&str]) -> String {
    let class = format!("org.apache.kafka.tools.{class}");
    cluster.broker(0).unwrap().tool(&class, args).await.unwrap()
}
