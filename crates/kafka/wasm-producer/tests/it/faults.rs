//! The producer on a real Kafka broker that is killed, paused and restarted.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::support::{assert_once, consume, create, producer, record, run, until};
use test_servers::{Kafka, KafkaConfig};
use tokio::task::spawn_local;
use wasm_producer::{Config, ProduceError};

const CALLERS: usize = 64;
const RECORDS: usize = 200_000;

#[test]
fn a_broker_that_is_killed_and_paused_has_every_record_once_and_in_order() {
    run(async {
        let kafka = Kafka::start(KafkaConfig::default()).await.unwrap();
        create(&kafka, "restart", 6, &[]).await;
        // The delivery timeout is longer than the restart.
        let patient = Duration::from_secs(60);
        let producer = producer(Config {
            delivery_timeout: patient,
            unreachable_timeout: patient,
            request_timeout: Duration::from_secs(1),
            ..Config::new(kafka.bootstrap())
        });
        let sent = Rc::new(Cell::new(0));
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let sent = sent.clone();
                spawn_local(async move {
                    for number in 0..RECORDS / CALLERS {
                        let (key, value) = (format!("{caller}"), format!("{caller}-{number}"));
                        producer.send(vec![record("restart", key, value)]).await.unwrap();
                        sent.set(sent.get() + 1);
                    }
                })
            })
            .collect();
        until("a quarter", || sent.get() > RECORDS / 4).await;
        let kafka = kafka.restart().await.unwrap();
        until("a half", || sent.get() > RECORDS / 2).await;
        kafka.pause().unwrap();
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        kafka.resume().unwrap();
        for caller in callers {
            caller.await.unwrap();
        }
        let read = consume(&kafka, "restart", RECORDS).await;
        let values = (0..CALLERS)
            .flat_map(|caller| (0..RECORDS / CALLERS).map(move |n| format!("{caller}-{n}")));
        assert_once(&read, values);
        let mut next: HashMap<&str, usize> = HashMap::new();
        let mut in_order: Vec<_> = read.iter().collect();
        in_order.sort_unstable_by_key(|read| (read.partition, read.offset));
        for read in in_order {
            let next = next.entry(&read.key).or_default();
            assert_eq!(read.value, format!("{}-{next}", read.key));
            *next += 1;
        }
    });
}

#[test]
fn a_stopped_broker_is_unavailable_until_it_runs_again() {
    run(async {
        let mut kafka = Kafka::start(KafkaConfig::default()).await.unwrap();
        create(&kafka, "away", 1, &[]).await;
        let producer = producer(Config::new(kafka.bootstrap()));
        let send = || producer.send(vec![record("away", "k", "v")]);
        send().await.unwrap();
        kafka.kill().await.unwrap();
        let error = send().await;
        let Err(ProduceError::Unavailable(text)) = error else { panic!("{error:?}") };
        assert!(text.contains("away") && text.contains(&kafka.bootstrap()), "{text}");
        let kafka = kafka.restart().await.unwrap();
        while let Err(error) = send().await {
            assert!(error.is_retriable(), "{error:?}");
        }
        kafka.stop().await.unwrap();
    });
}

#[test]
fn the_error_names_a_leader_that_cannot_be_reached() {
    run(async {
        let nowhere = 9;
        let config = KafkaConfig { advertised_port: Some(nowhere), ..KafkaConfig::default() };
        let kafka = Kafka::start(config).await.unwrap();
        create(&kafka, "nowhere", 1, &[]).await;
        let delivery_timeout = Duration::from_millis(500);
        let producer = producer(Config { delivery_timeout, ..Config::new(kafka.bootstrap()) });
        let error = producer.send(vec![record("nowhere", "k", "v")]).await;
        let Err(ProduceError::Unavailable(text)) = error else { panic!("{error:?}") };
        assert!(text.contains("127.0.0.1:9: "), "{text}");
    });
}

#[test]
fn no_broker_from_the_start_is_unavailable() {
    run(async {
        let producer = producer(Config::new("127.0.0.1:9,localhost:9"));
        let error = producer.send(vec![record("nowhere", "k", "v")]).await;
        let Err(ProduceError::Unavailable(text)) = error else { panic!("{error:?}") };
        assert!(text.contains("nowhere") && text.contains("127.0.0.1:9"), "{text}");
    });
}

#[test]
fn topics_of_one_call_share_its_time() {
    run(async {
        // It accepts connections and never answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let limit = Duration::from_millis(100);
        let producer = producer(Config {
            unreachable_timeout: limit,
            delivery_timeout: limit,
            ..Config::new(silent.local_addr().unwrap().to_string())
        });
        let records = ["a", "b", "c", "d", "e"].map(|topic| record(topic, "k", "v"));
        let begun = Instant::now();
        let results = producer.send_each(records.into()).await;
        let is_unavailable = |result: &_| matches!(result, Err(ProduceError::Unavailable(_)));
        assert!(results.iter().all(is_unavailable), "{results:?}");
        // The time of one request without an answer is 2 s.
        assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    });
}
