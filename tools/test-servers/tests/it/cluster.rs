//! A cluster continues without one broker, and the broker can rejoin it.

use std::time::Duration;

use crate::support::{CREATE, all_in_sync, lagging, records, topics, write};
use test_servers::{ClusterConfig, KafkaCluster};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Queries a broker for the versions of the requests that it supports, and waits for its answer.
async fn ask_versions(port: u16) {
    // ApiVersions, version 0; then the correlation id; then no client id.
    const NUMBER: [u8; 4] = [1, 2, 3, 4];
    let request = [&[0, 0, 0, 10, 0, 18, 0, 0], &NUMBER[..], &[0xff, 0xff]].concat();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(&request).await.unwrap();
    let (mut length, mut number) = ([0; 4], [0; 4]);
    stream.read_exact(&mut length).await.unwrap();
    stream.read_exact(&mut number).await.unwrap();
    assert_eq!(number, NUMBER);
}

#[tokio::test]
async fn a_cluster_goes_on_without_one_broker_and_takes_it_back() {
    let mut cluster = KafkaCluster::start(ClusterConfig::default()).await.unwrap();
    let ports = cluster.ports();
    let topic = topics(&cluster, CREATE).await;
    assert!(topic.contains("Created topic"), "{topic}");
    let topic = topics(&cluster, &["--describe"]).await;
    assert!(topic.contains("ReplicationFactor: 3"), "{topic}");
    assert!(topic.contains("min.insync.replicas=2"), "{topic}");
    write(&cluster, &[]).await;

    cluster.kill(1).await.unwrap();
    write(&cluster, &[]).await;
    assert_eq!(records(&cluster).await, 200);
    assert_ne!(lagging(&cluster).await, "");
    cluster.restart(1).await.unwrap();
    all_in_sync(&cluster).await;

    cluster.pause(2).unwrap();
    let asking = ask_versions(ports[2]);
    tokio::pin!(asking);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut asking).await;
    assert!(early.is_err(), "it answered while frozen");
    cluster.resume(2).unwrap();
    asking.await;

    cluster.restart_all().await.unwrap();
    assert_eq!(records(&cluster).await, 200);
    assert_eq!(cluster.ports(), ports);
    assert!(cluster.broker(3).is_err());
    cluster.stop().await.unwrap();
}
