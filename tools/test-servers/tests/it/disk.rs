//! A broker with a full disk stops accepting writes, and works again when there is space.

use crate::support::{CREATE, all_in_sync, eventually, records, topics, write};
use test_servers::{ClusterConfig, KafkaCluster};

#[tokio::test]
async fn a_broker_with_a_full_disk_leaves_and_comes_back_with_space() {
    let mut cluster = KafkaCluster::start(ClusterConfig::default()).await.unwrap();
    topics(&cluster, CREATE).await;
    write(&cluster, &[]).await;

    cluster.broker(1).unwrap().fill_disk().unwrap();
    write(&cluster, &[]).await;
    let broker = cluster.broker_mut(1).unwrap();
    eventually("it has ended", async || broker.has_ended().unwrap()).await;
    assert!(broker.free_disk().is_err(), "it has stopped");
    eventually("the other brokers have all records", async || records(&cluster).await == 200).await;

    cluster.restart(1).await.unwrap();
    all_in_sync(&cluster).await;
    write(&cluster, &[]).await;
    assert_eq!(records(&cluster).await, 300);
    cluster.stop().await.unwrap();
}
