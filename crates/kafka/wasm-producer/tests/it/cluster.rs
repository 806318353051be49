//! The producer on three brokers, one of which is killed: its partitions get other leaders.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::support::{self, assert_once, consume, create, producer, record, run, until};
use test_servers::{ClusterConfig, KafkaCluster};
use tokio::task::spawn_local;
use wasm_producer::{Config, ProduceError};

const CALLERS: usize = 32;
const RECORDS: usize = 6_400;

#[test]
fn records_are_sent_to_new_leaders() {
    run(async {
        let mut cluster = KafkaCluster::start(ClusterConfig::default()).await.unwrap();
        create(cluster.broker(0).unwrap(), "moves", 6, &[]).await;
        let patient = Duration::from_secs(60);
        let producer = producer(Config {
            delivery_timeout: patient,
            unreachable_timeout: patient,
            ..Config::new(cluster.bootstrap())
        });
        let sent = Rc::new(Cell::new(0));
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let sent = sent.clone();
                spawn_local(async move {
                    for number in 0..RECORDS / CALLERS {
                        let value = format!("{caller}-{number}");
                        producer.send(vec![record("moves", &value, &value)]).await.unwrap();
                        sent.set(sent.get() + 1);
                    }
                })
            })
            .collect();
        until("a third", || sent.get() > RECORDS / 3).await;
        cluster.kill(1).await.unwrap();
        for caller in callers {
            caller.await.unwrap();
        }
        let read = consume(cluster.broker(0).unwrap(), "moves", RECORDS).await;
        let values = (0..CALLERS)
            .flat_map(|caller| (0..RECORDS / CALLERS).map(move |n| format!("{caller}-{n}")));
        assert_once(&read, values);

        // Two replicas are left of the three that this topic requires.
        let broker = cluster.broker(0).unwrap();
        create(broker, "strict", 1, &["--config", "min.insync.replicas=3"]).await;
        let delivery_timeout = Duration::from_millis(500);
        let config = Config { delivery_timeout, ..Config::new(cluster.bootstrap()) };
        let error = support::producer(config).send(vec![record("strict", "k", "v")]).await;
        let Err(ProduceError::Unavailable(text)) = error else { panic!("{error:?}") };
        assert!(text.contains("not enough replicas"), "{text}");
        cluster.stop().await.unwrap();
    });
}
