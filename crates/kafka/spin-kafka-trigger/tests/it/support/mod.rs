//! Common parts of the tests: a handler whose answers the test determines, and an engine under test.

pub mod cluster;
pub mod journal;
pub mod ledger;
pub mod letters;
pub mod member;
pub mod store;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use spin_kafka_trigger::{
    Batch, Config, Error, Failure, Handler, Metrics, Position, Progress, Rejection, Summary,
    Trigger,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use test_servers::WAIT_LIMIT;

/// Logs to the output of the test. `RUST_LOG=spin_kafka_trigger=debug` shows what an engine does.
pub fn show_log() {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
}

/// Waits for the future; panics after [`WAIT_LIMIT`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(WAIT_LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long for {what}"),
    }
}

/// Waits until the condition holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    within(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// A batch that the handler got and that waits for its answer. If it is dropped, the handler
/// panics.
pub struct Call {
    pub batch: Batch,
    answer: oneshot::Sender<Result<Vec<Rejection>, Failure>>,
}

impl Call {
    pub fn apply(self) -> Batch {
        self.answer.send(Ok(Vec::new())).expect("the engine waits for the answer");
        self.batch
    }

    pub fn reject(self, offsets: &[i64]) -> Batch {
        let rejections =
            offsets.iter().map(|offset| Rejection { offset: *offset, reason: "bad".into() });
        self.answer.send(Ok(rejections.collect())).expect("the engine waits for the answer");
        self.batch
    }

    pub fn fail(self, failure: Failure) -> Batch {
        self.answer.send(Err(failure)).expect("the engine waits for the answer");
        self.batch
    }

    /// Whether the engine no longer waits for the answer.
    pub fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }
}

type Positions = dyn Fn(&str, &str, i32) -> Result<Position, Failure> + Send + Sync;

/// A handler that passes every batch to the test.
pub struct Remote {
    calls: mpsc::UnboundedSender<Call>,
    position: Box<Positions>,
}

impl Handler for Remote {
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        let (answer, answered) = oneshot::channel();
        self.calls.send(Call { batch: batch.clone(), answer }).expect("the test runs");
        answered.await.expect("the test answers")
    }

    async fn position(
        &self,
        _: &str,
        topic: &str,
        log_id: &str,
        partition: i32,
    ) -> Result<Position, Failure> {
        (self.position)(topic, log_id, partition)
    }
}

/// An engine under test.
pub struct Session {
    calls: mpsc::UnboundedReceiver<Call>,
    pub metrics: Arc<Metrics>,
    pub progress: Arc<Progress>,
    stop: CancellationToken,
    run: JoinHandle<Result<Summary, Error>>,
}

impl Session {
    /// Runs with a handler that keeps no offsets.
    pub fn start(config: Config) -> Self {
        Self::start_at(config, |_, _, _| Ok(Position::Committed))
    }

    /// Runs with a handler that returns these positions.
    pub fn start_at(
        config: Config,
        position: impl Fn(&str, &str, i32) -> Result<Position, Failure> + Send + Sync + 'static,
    ) -> Self {
        show_log();
        let (sender, calls) = mpsc::unbounded_channel();
        let handler = Remote { calls: sender, position: Box::new(position) };
        let trigger = Trigger::new(config, handler).unwrap();
        let (metrics, progress) = (trigger.metrics(), trigger.progress());
        let stop = CancellationToken::new();
        let run = tokio::spawn(trigger.until(stop.clone().cancelled_owned()));
        Self { calls, metrics, progress, stop, run }
    }

    /// The next batch that the handler got.
    pub async fn call(&mut self) -> Call {
        within("a batch", self.calls.recv()).await.expect("the engine runs")
    }

    /// The next batch, if the handler already has one.
    pub fn try_call(&mut self) -> Option<Call> {
        self.calls.try_recv().ok()
    }

    /// Applies batches until one ends at `end`.
    pub async fn apply_until(&mut self, end: i64) -> Vec<Batch> {
        let mut batches = Vec::new();
        while batches.last().is_none_or(|batch: &Batch| batch.end < end) {
            batches.push(self.call().await.apply());
        }
        batches
    }

    /// Signals the shutdown.
    pub fn signal(&self) {
        self.stop.cancel();
    }

    pub async fn ended(self) -> Result<Summary, Error> {
        within("the engine's end", self.run).await.unwrap()
    }

    /// Signals the shutdown and applies the batches that the handler still gets.
    pub async fn stop_applying(mut self) -> Summary {
        self.signal();
        within("the engine's end", async {
            loop {
                tokio::select! {
                    Some(call) = self.calls.recv() => { call.apply(); }
                    ended = &mut self.run => return ended.unwrap().unwrap(),
                }
            }
        })
        .await
    }

    pub async fn stop(self) -> Summary {
        self.signal();
        self.ended().await.unwrap()
    }
}

/// Settings for one topic, with a group of the same name.
pub fn config(brokers: &str, topic: &str) -> Config {
    Config::new(brokers, [topic], topic)
        // librdkafka's mock cluster waits almost this long for members to rejoin.
        .session_timeout(Duration::from_secs(6))
        .drain_deadline(Duration::from_secs(5))
        .retry_backoff(Duration::from_millis(1))
        .retry_backoff_max(Duration::from_millis(20))
}

pub fn producer(brokers: &str) -> BaseProducer {
    ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap()
}

/// Writes `count` records of `bytes` bytes to one partition and waits for the acks.
pub fn produce(brokers: &str, topic: &str, partition: i32, count: usize, bytes: usize) {
    let producer = producer(brokers);
    let value = vec![b'x'; bytes];
    for _ in 0..count {
        let record = BaseRecord::<(), _>::to(topic).partition(partition).payload(&value);
        let mut sent = producer.send(record);
        while let Err((_, record)) = sent {
            producer.poll(Duration::from_millis(10));
            sent = producer.send(record);
        }
    }
    producer.flush(WAIT_LIMIT).unwrap();
}

/// The group's committed offset.
pub fn committed(brokers: &str, group: &str, topic: &str, partition: i32) -> Option<i64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .create()
        .unwrap();
    let mut request = TopicPartitionList::new();
    request.add_partition(topic, partition);
    let begun = std::time::Instant::now();
    let answered = loop {
        match consumer.committed_offsets(request.clone(), Duration::from_secs(10)) {
            Ok(answered) => break answered,
            // The group's coordinator is not known yet.
            Err(error) => assert!(begun.elapsed() < WAIT_LIMIT, "{error}"),
        }
    };
    match answered.elements()[0].offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}
