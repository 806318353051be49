//! A queue of the test, and a handler that does what the messages say.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use lapin::message::Delivery;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use spin_amqp_trigger::{Config, Error, Trigger};
use spin_kafka_trigger::{Batch, Failure, Handler, Metrics, Progress, Rejection, Summary};
use test_servers::{
    QueueClient, QueueMessage, RabbitMq, RabbitMqConfig, RabbitMqTls, WAIT_LIMIT, eventually,
};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The broker that the tests share, with a runtime that waits for it.
static SHARED: LazyLock<(Runtime, RabbitMq)> = LazyLock::new(|| {
    std::thread::spawn(|| {
        let runtime = Runtime::new().unwrap();
        let identity = CERTIFICATE.clone();
        let tls = RabbitMqTls { certificate: identity.0, key: identity.1 };
        let broker = runtime
            .block_on(RabbitMq::start(RabbitMqConfig {
                tls: Some(tls),
                ..RabbitMqConfig::default()
            }))
            .unwrap();
        (runtime, broker)
    })
    .join()
    .unwrap()
});

/// The certificate of the shared broker, which it has signed itself, and its key.
static CERTIFICATE: LazyLock<(String, String)> = LazyLock::new(certificate);

/// A certificate for this machine that is its own authority, and its key, as PEM.
pub fn certificate() -> (String, String) {
    let hosts = vec!["127.0.0.1".to_owned()];
    let signed = rcgen::generate_simple_self_signed(hosts).unwrap();
    (signed.cert.pem(), signed.signing_key.serialize_pem())
}

/// The URL of the broker that the tests share.
pub fn shared_url() -> String {
    SHARED.1.url()
}

/// Its URL for encrypted connections, and its certificate.
pub fn shared_encrypted() -> (String, String) {
    (SHARED.1.encrypted_url(), CERTIFICATE.0.clone())
}

/// Connects as soon as the broker accepts connections.
pub async fn connect(url: &str) -> QueueClient {
    eventually("a connection", async || QueueClient::connect(url).await.ok()).await
}

/// Publishes messages with these bodies. The body is the message id, too.
pub async fn publish(client: &QueueClient, queue: &str, bodies: impl IntoIterator<Item = String>) {
    let messages = bodies.into_iter().map(|body| QueueMessage::new(&body, &body));
    client.publish(queue, messages).await.unwrap();
}

/// Publishes a message with this body and these headers.
pub async fn publish_with_headers(url: &str, queue: &str, body: &str, headers: FieldTable) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let properties = properties.with_headers(headers);
    let published =
        channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties);
    published.await.unwrap().await.unwrap();
}

/// Takes the next message of a queue.
pub async fn take(client: &QueueClient, queue: &str) -> Delivery {
    eventually("a message", async || client.take(queue).await.unwrap()).await
}

/// The bodies of a batch that has begun, and its attempt.
type Begun = (Vec<String>, u32);

/// What a test and its handler share.
#[derive(Clone)]
pub struct Applied {
    /// How often each body was applied.
    pub bodies: Arc<Mutex<BTreeMap<String, u32>>>,
    /// A permit lets a batch begin. It is returned after the batch.
    pub gate: Arc<Semaphore>,
    /// The batches that have begun.
    pub begun: Arc<Mutex<Vec<Begun>>>,
}

impl Applied {
    pub fn new(permits: usize) -> Self {
        let gate = Arc::new(Semaphore::new(permits));
        Self { bodies: Arc::default(), gate, begun: Arc::default() }
    }

    /// The number of different bodies.
    pub fn count(&self) -> usize {
        self.bodies.lock().unwrap().len()
    }
}

impl Handler for Applied {
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        let record = |record: &spin_kafka_trigger::Message| {
            String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap()
        };
        let bodies: Vec<String> = batch.records.iter().map(record).collect();
        self.begun.lock().unwrap().push((bodies.clone(), batch.attempt));
        let _permit = self.gate.acquire().await.unwrap();
        let mut rejections = Vec::new();
        let mut applied = Vec::new();
        for (record, body) in batch.records.iter().zip(bodies) {
            match body.split('-').next() {
                Some("trap") => return Err(Failure::Trap("trapped".into())),
                Some("retry") => return Err(Failure::Retry("the store is down".into())),
                Some("reject") => rejections.push(Rejection::new(record.offset, "not a post")),
                _ => applied.push(body),
            }
        }
        let mut bodies = self.bodies.lock().unwrap();
        for body in applied {
            *bodies.entry(body).or_default() += 1;
        }
        Ok(rejections)
    }
}

/// A trigger that runs.
pub struct Running {
    pub progress: Arc<Progress>,
    pub metrics: Arc<Metrics>,
    stop: CancellationToken,
    task: JoinHandle<Result<Summary, Error>>,
}

impl Running {
    pub fn start(config: Config, applied: &Applied) -> Self {
        // The log is shown if the test fails.
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let trigger = Trigger::new(config, applied.clone()).unwrap();
        let stop = CancellationToken::new();
        let (progress, metrics) = (trigger.progress(), trigger.metrics());
        let task = tokio::spawn(trigger.until(stop.clone().cancelled_owned()));
        Self { progress, metrics, stop, task }
    }

    pub async fn stop(self) -> Summary {
        self.stop.cancel();
        tokio::time::timeout(WAIT_LIMIT, self.task).await.expect("no drain").unwrap().unwrap()
    }

    /// Waits until the trigger ends with an error.
    pub async fn failed(self) -> Error {
        tokio::time::timeout(WAIT_LIMIT, self.task).await.expect("no end").unwrap().unwrap_err()
    }
}
