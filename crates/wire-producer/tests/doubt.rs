//! Requests whose answers are lost, and calls that are dropped: a gate before a real broker
//! sees to both.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use local_servers::{Kafka, KafkaConfig};
use support::gate::{Answers, Gate};
use support::network::Tcp;
use support::{consume, count, create, producer, record, run, until};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, spawn_local};
use wire_producer::{Config, Delivery, ProduceError, Producer};

const TOPIC: &str = "doubt";

type Sent = JoinHandle<Result<Vec<Delivery>, ProduceError>>;

struct Setting {
    kafka: Kafka,
    gate: Gate,
    producer: &'static Producer<Tcp>,
}

impl Setting {
    /// A broker behind a gate, a topic, and a producer that has written one record to it.
    async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = KafkaConfig { advertised_port: Some(port), ..KafkaConfig::default() };
        let kafka = Kafka::start(config).await.unwrap();
        let gate = Gate::open(listener, kafka.port()).await;
        create(&kafka, TOPIC, 1, &[]).await;
        let mut config = Config::new(format!("127.0.0.1:{port}"));
        change(&mut config);
        let producer = producer(config);
        producer.send(vec![record(TOPIC, "k", "first")]).await.unwrap();
        Self { kafka, gate, producer }
    }

    fn send(&self, value: &str) -> Sent {
        let producer = self.producer;
        let record = record(TOPIC, "k", value);
        spawn_local(async move { producer.send(vec![record]).await })
    }

    /// Waits until the broker has so many batches.
    async fn written(&self, batches: usize) {
        until("the batches", || self.gate.answered() >= batches).await;
    }

    /// The log's values, in their order.
    async fn log(&self) -> Vec<String> {
        let records = count(&self.kafka, TOPIC).await;
        let read = consume(&self.kafka, TOPIC, records).await;
        read.into_iter().map(|read| read.value).collect()
    }
}

#[test]
fn a_batch_whose_answer_is_lost_is_written_once() {
    run(async {
        let setting = Setting::new(|_| {}).await;
        setting.gate.set(Answers::Lost);
        let sent = [setting.send("a"), setting.send("b"), setting.send("c")];
        // At least once more with the answer lost again.
        setting.written(4).await;
        setting.gate.set(Answers::Passed);
        for (sent, offset) in sent.into_iter().zip(1..) {
            assert_eq!(sent.await.unwrap(), Ok(vec![Delivery { partition: 0, offset }]));
        }
        assert_eq!(setting.log().await, ["first", "a", "b", "c"]);
    });
}

#[test]
fn a_call_dropped_while_it_leads_leaves_its_batch_to_another() {
    run(async {
        let setting = Setting::new(|_| {}).await;
        setting.gate.set(Answers::Held);
        let leading = setting.send("dropped");
        setting.written(2).await;
        let waiting = [setting.send("a"), setting.send("b")];
        tokio::task::yield_now().await;
        setting.gate.set(Answers::Passed);
        leading.abort();
        for (sent, offset) in waiting.into_iter().zip(2..) {
            assert_eq!(sent.await.unwrap(), Ok(vec![Delivery { partition: 0, offset }]));
        }
        assert_eq!(setting.log().await, ["first", "dropped", "a", "b"]);
    });
}

#[test]
fn a_call_dropped_alone_leaves_its_batch_to_the_next() {
    run(async {
        let setting = Setting::new(|_| {}).await;
        setting.gate.set(Answers::Held);
        let alone = setting.send("dropped");
        setting.written(2).await;
        alone.abort();
        assert!(alone.await.unwrap_err().is_cancelled());
        setting.gate.set(Answers::Passed);
        assert_eq!(
            setting.send("next").await.unwrap(),
            Ok(vec![Delivery { partition: 0, offset: 2 }])
        );
        assert_eq!(setting.log().await, ["first", "dropped", "next"]);
    });
}

#[test]
fn calls_dropped_anywhere_stop_no_other() {
    run(async {
        let setting = Setting::new(|_| {}).await;
        for turn in 0..300_u32 {
            let mut calls: Vec<_> = (0..8).map(|n| setting.send(&format!("{turn}-{n}"))).collect();
            for _ in 0..fastrand::u32(..12) {
                tokio::task::yield_now().await;
            }
            if turn % 3 == 0 {
                tokio::time::sleep(Duration::from_micros(fastrand::u64(..2_000))).await;
            }
            for _ in 0..4 {
                calls.swap_remove(fastrand::usize(..calls.len())).abort();
            }
            for call in calls {
                call.await.unwrap().unwrap();
            }
        }
        let mut log = setting.log().await;
        let written = log.len();
        log.sort_unstable();
        log.dedup();
        assert_eq!(log.len(), written, "none twice");
        assert!(written > 300 * 4);
    });
}

#[test]
fn what_follows_a_batch_given_up_is_written_once() {
    run(async {
        let soon = Duration::from_millis(300);
        let setting = Setting::new(|config| config.delivery_timeout = soon).await;
        setting.gate.set(Answers::Held);
        let error = setting.send("given up").await.unwrap();
        assert!(
            matches!(error, Err(ProduceError::TimedOut(_) | ProduceError::Unavailable(_))),
            "{error:?}"
        );
        setting.gate.set(Answers::Passed);
        tokio::time::sleep(soon).await;
        for n in 0..3 {
            setting.send(&n.to_string()).await.unwrap().unwrap();
        }
        assert_eq!(setting.log().await, ["first", "given up", "0", "1", "2"]);
    });
}
