//! A broker with a full disk stops accepting writes, and works again when there is space.

use crate::support::{CREATE, all_in_sync, eventually, records, topics, write};
use test_servers::{ClusterConfig, KafkaCluster};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_broker_with_a_full_disk_leaves_and_comes_back_with_space() {
    let mut cluster = KafkaCluster::start(ClusterConfig::default()).await.unwrap();
    topics(&cluster, CREATE).await;
    write(&cluster, &[]).await;

    cluster.broker(1).unwrap().fill_disk().unwrap();
    write(&cluster, &[]).await;
    let port = cluster.ports()[1];
    eventually("it accepts no connections", async || {
        TcpStream::connect(("127.0.0.1", port)).await.is_err()
    })
    .await;
    let broker = cluster.broker_mut(1).unwrap();
    eventually("it has ended", async || broker.has_ended().unwrap()).await;
    assert!(broker.free_disk().is_err(), "it has stopped");
    assert_eq!(records(&cluster).await, 200);

    cluster.restart(1).await.unwrap();
    all_in_sync(&cluster).await;
    write(&cluster, &[]).await;
    assert_eq!(records(&cluster).await, 300);
    cluster.stop().await.unwrap();
}
