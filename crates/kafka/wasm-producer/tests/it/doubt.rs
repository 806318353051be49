//! Requests whose responses are lost, and calls that are cancelled. A proxy in front of a real
//! broker holds or drops the responses.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use crate::support::gate::{Answers, Gate};
use crate::support::network::Tcp;
use crate::support::{consume, create, producer, record, run, until};
use test_servers::{Kafka, KafkaConfig, free_port};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, spawn_local};
use wasm_producer::{Config, Delivery, ProduceError, Producer};

type Sent = JoinHandle<Result<Vec<Delivery>, ProduceError>>;

/// The broker, and the port that it advertises to clients instead of its own.
static BROKER: LazyLock<(Runtime, Kafka, u16)> = LazyLock::new(|| {
    // Started on its own thread, because the first test already runs in a runtime.
    let start = || {
        let runtime = Runtime::new().unwrap();
        let port = free_port().unwrap();
        let config = KafkaConfig { advertised_port: Some(port), ..KafkaConfig::default() };
        let kafka = runtime.block_on(Kafka::start(config)).unwrap();
        (runtime, kafka, port)
    };
    std::thread::spawn(start).join().unwrap()
});

/// There is one proxy at a time.
static GATE: Mutex<()> = Mutex::new(());

struct Setting {
    topic: &'static str,
    gate: Gate,
    producer: &'static Producer<Tcp>,
}

/// Runs a test with a topic of one partition, a proxy in front of the broker, and a producer that
/// has written one record.
fn with_gate(
    topic: &'static str,
    change: impl FnOnce(&mut Config),
    test: impl AsyncFnOnce(Setting),
) {
    let (_, kafka, port) = &*BROKER;
    let _alone = GATE.lock().unwrap_or_else(PoisonError::into_inner);
    run(async {
        let listener = TcpListener::bind(("127.0.0.1", *port)).await.unwrap();
        let gate = Gate::open(listener, kafka.port()).await;
        create(kafka, topic, 1, &["--if-not-exists"]).await;
        let mut config = Config::new(format!("127.0.0.1:{port}"));
        change(&mut config);
        let producer = producer(config);
        producer.send(vec![record(topic, "k", "first")]).await.unwrap();
        test(Setting { topic, gate, producer }).await;
    });
}

impl Setting {
    fn send(&self, value: &str) -> Sent {
        let producer = self.producer;
        let record = record(self.topic, "k", value);
        spawn_local(async move { producer.send(vec![record]).await })
    }

    /// Waits until the broker has answered this number of requests.
    async fn answered(&self, requests: usize) {
        until("the responses", || self.gate.answered() >= requests).await;
    }

    /// Writes one more record, and returns the values of the log in their order.
    async fn log(&self) -> Vec<String> {
        let last = self.send("last").await.unwrap().unwrap()[0].offset.unwrap();
        let read = consume(&BROKER.1, self.topic, last as usize + 1).await;
        read.into_iter().map(|read| read.value).collect()
    }
}

/// The expected result for a record with this offset.
fn at(offset: i64) -> Result<Vec<Delivery>, ProduceError> {
    Ok(vec![Delivery { partition: 0, offset: Some(offset) }])
}

#[test]
fn a_batch_whose_response_is_lost_is_written_once() {
    with_gate(
        "response-lost",
        |_| {},
        async |setting| {
            setting.gate.set(Answers::Lost);
            let sent = [setting.send("a"), setting.send("b"), setting.send("c")];
            // At least one more response is lost.
            setting.answered(4).await;
            setting.gate.set(Answers::Passed);
            for (sent, offset) in sent.into_iter().zip(1..) {
                assert_eq!(sent.await.unwrap(), at(offset));
            }
            assert_eq!(setting.log().await, ["first", "a", "b", "c", "last"]);
        },
    );
}

#[test]
fn another_call_sends_the_batch_of_a_cancelled_sender() {
    with_gate(
        "sender-cancelled",
        |_| {},
        async |setting| {
            setting.gate.set(Answers::Held);
            let sender = setting.send("dropped");
            setting.answered(2).await;
            let waiting = [setting.send("a"), setting.send("b")];
            tokio::task::yield_now().await;
            setting.gate.set(Answers::Passed);
            sender.abort();
            for (sent, offset) in waiting.into_iter().zip(2..) {
                assert_eq!(sent.await.unwrap(), at(offset));
            }
            assert_eq!(setting.log().await, ["first", "dropped", "a", "b", "last"]);
        },
    );
}

#[test]
fn the_next_call_sends_the_batch_of_a_cancelled_call() {
    with_gate(
        "cancelled-alone",
        |_| {},
        async |setting| {
            setting.gate.set(Answers::Held);
            let alone = setting.send("dropped");
            setting.answered(2).await;
            alone.abort();
            assert!(alone.await.unwrap_err().is_cancelled());
            setting.gate.set(Answers::Passed);
            assert_eq!(setting.log().await, ["first", "dropped", "last"]);
        },
    );
}

#[test]
fn calls_cancelled_at_any_point_do_not_stop_others() {
    with_gate(
        "cancelled-anywhere",
        |_| {},
        async |setting| {
            for round in 0..300_u32 {
                let mut calls: Vec<_> =
                    (0..8).map(|n| setting.send(&format!("{round}-{n}"))).collect();
                for _ in 0..fastrand::u32(..12) {
                    tokio::task::yield_now().await;
                }
                // Some calls are cancelled in the middle of an exchange.
                if round % 3 == 0 {
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
            assert_eq!(log.len(), written, "a record was written twice");
            assert!(written > 300 * 4);
        },
    );
}

#[test]
fn records_after_a_batch_that_was_given_up_are_written_once() {
    let soon = Duration::from_millis(300);
    with_gate(
        "given-up",
        |config| config.delivery_timeout = soon,
        async |setting| {
            setting.gate.set(Answers::Held);
            let error = setting.send("given up").await.unwrap();
            assert!(error.is_err_and(|error| error.is_retriable()));
            // The batch's time is over as well, so it is not sent again.
            setting.gate.set(Answers::Passed);
            for (n, offset) in (0..3).zip(2..) {
                assert_eq!(setting.send(&n.to_string()).await.unwrap(), at(offset));
            }
            assert_eq!(setting.log().await, ["first", "given up", "0", "1", "2", "last"]);
        },
    );
}

#[test]
fn a_connection_that_was_idle_for_too_long_is_replaced() {
    let topic = "idle";
    for (idle_timeout, opened) in [(Duration::from_secs(60), 0), (Duration::ZERO, 1)] {
        let change = move |config: &mut Config| config.idle_timeout = idle_timeout;
        with_gate(topic, change, async |setting| {
            let before = setting.gate.connections();
            setting.send("a").await.unwrap().unwrap();
            assert_eq!(setting.gate.connections(), before + opened);
        });
    }
}
