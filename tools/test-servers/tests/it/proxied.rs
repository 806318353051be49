//! Clients connect to the advertised ports; brokers and tools do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{CREATE, all_in_sync, records, topics, write};
use test_servers::{ClusterConfig, Kafka, KafkaCluster, KafkaConfig};
use tokio::net::{TcpListener, TcpStream};

/// Forwards connections to a port and counts them.
async fn forward(listener: TcpListener, to: u16, connections: Arc<AtomicUsize>) {
    loop {
        let (mut from, _) = listener.accept().await.unwrap();
        connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let mut to = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
        });
    }
}

#[tokio::test]
async fn clients_of_a_cluster_go_to_the_advertised_ports() {
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let advertised = listeners.iter().map(|listener| listener.local_addr().unwrap().port());
    let advertised_ports = Some(advertised.collect());
    let config = ClusterConfig { advertised_ports, ..ClusterConfig::default() };
    let cluster = KafkaCluster::start(config).await.unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    for (listener, port) in listeners.into_iter().zip(cluster.ports()) {
        tokio::spawn(forward(listener, port, connections.clone()));
    }

    topics(&cluster, CREATE).await;
    write(&cluster, &[]).await;
    all_in_sync(&cluster).await;
    assert_eq!(connections.load(Ordering::Relaxed), 0, "of brokers and tools");

    write(&cluster, &["--bootstrap-server", &cluster.bootstrap()]).await;
    assert_ne!(connections.load(Ordering::Relaxed), 0, "of a client");
    assert_eq!(records(&cluster).await, 200);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn clients_of_one_broker_go_to_its_advertised_port() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let advertised_port = Some(listener.local_addr().unwrap().port());
    let config = KafkaConfig { advertised_port, ..KafkaConfig::default() };
    let kafka = Kafka::start(config).await.unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    tokio::spawn(forward(listener, kafka.port(), connections.clone()));

    let topics = "org.apache.kafka.tools.TopicCommand";
    kafka.tool(topics, &["--create", "--topic", "sales"]).await.unwrap();
    assert_eq!(connections.load(Ordering::Relaxed), 0, "of a tool");
    let records = ["--num-records", "1", "--record-size", "1", "--throughput", "-1"];
    let of_client = ["--topic", "sales", "--bootstrap-server", &kafka.bootstrap()];
    let producer = "org.apache.kafka.tools.ProducerPerformance";
    kafka.tool(producer, &[records.as_slice(), &of_client].concat()).await.unwrap();
    assert_ne!(connections.load(Ordering::Relaxed), 0, "of a client");
    kafka.stop().await.unwrap();
}

#[tokio::test]
async fn ports_are_advertised_for_all_nodes_or_none() {
    let config = ClusterConfig { advertised_ports: Some(vec![1]), ..ClusterConfig::default() };
    assert!(KafkaCluster::start(config).await.is_err());
}
