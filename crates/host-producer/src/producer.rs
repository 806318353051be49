//! Writes records and waits for the broker.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use kafka_log::is_replaced_after;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};

use crate::reach::Reach;
use crate::record::native_headers;
use crate::verdict::classify;
use crate::{Delivery, Error, Metrics, OutgoingRecord, ProduceError, ProducerConfig};

/// How often it is looked whether a client that was replaced is still in use.
const RELEASE_INTERVAL: Duration = Duration::from_millis(100);

/// Longest time in which the brokers are asked whether they answer again.
const ASK_LIMIT: Duration = Duration::from_secs(1);

/// An idempotent producer with acks=all. Clones share one connection, queue and thread; one
/// producer serves a whole process.
///
/// The Kafka client behind it is replaced when it cannot write any more, for example because the
/// broker lost the end of a log to which the client had written, and when a record times out
/// though a broker answers.
#[derive(Clone)]
pub struct Producer(Arc<Inner>);

struct Inner {
    client: RwLock<Arc<Client>>,
    config: ProducerConfig,
    metrics: Metrics,
    /// Held while the brokers are asked whether they answer again.
    asking: tokio::sync::Mutex<()>,
}

/// One Kafka client.
struct Client {
    native: FutureProducer<Reach>,
    reach: Reach,
    config: ProducerConfig,
    /// The error after which it is replaced.
    ended: OnceLock<RDKafkaErrorCode>,
}

impl Producer {
    /// Fails if a setting is wrong. Brokers that cannot be reached are no error yet.
    pub fn new(config: ProducerConfig) -> Result<Self, Error> {
        config.validate()?;
        let client = RwLock::new(Arc::new(Client::new(&config)?));
        let (metrics, asking) = (Metrics::default(), tokio::sync::Mutex::default());
        Ok(Self(Arc::new(Inner { client, config, metrics, asking })))
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Writes the records and answers when the broker has acknowledged them all, with the
    /// deliveries in the order of the records. Records of one call with the same key keep
    /// their order. On an error some records of a call with several may have been written.
    ///
    /// Ends by the delivery timeout; sooner while no broker can be reached, and at once when
    /// the queue is full. Dropping the future does not take the records back.
    pub async fn send(&self, records: Vec<OutgoingRecord>) -> Result<Vec<Delivery>, ProduceError> {
        let outcome = self.0.client().send(&records).await;
        self.0.metrics.count(records.len(), &outcome);
        outcome
    }

    /// Why records cannot be written: the last one failed because no broker was reached, and none
    /// answers now. None for a producer that nobody uses. Takes at most a second.
    pub async fn fault(&self) -> Option<String> {
        let client = self.0.client();
        let topic = client.reach.failed_topic()?;
        let brokers = &self.0.config.brokers;
        let fault = format!("the producer reaches no Kafka broker of {brokers}");
        // One question at a time.
        let Ok(_asking) = self.0.asking.try_lock() else { return Some(fault) };
        let asked = client.clone();
        let ask = move || asked.native.client().fetch_metadata(Some(&topic), ASK_LIMIT).is_ok();
        if tokio::task::spawn_blocking(ask).await.unwrap_or(false) {
            client.reach.answered();
            return None;
        }
        Some(fault)
    }

    /// Waits until every record so far has its acknowledgement or its error.
    pub async fn flush(&self, timeout: Duration) -> Result<(), Error> {
        let client = self.0.client();
        let flushing = client.clone();
        let flush = move || flushing.native.flush(timeout);
        // The only failure besides the timeout is a runtime that is shutting down.
        let flushed = tokio::task::spawn_blocking(flush).await;
        let records = u64::try_from(client.native.in_flight_count()).unwrap_or(0);
        match flushed {
            Ok(Ok(())) => Ok(()),
            _ => Err(Error::Flush {
                records,
                brokers: self.0.config.brokers.clone(),
                waited_ms: timeout.as_millis(),
            }),
        }
    }
}

impl Inner {
    /// The client to write with: a new one after an error of the last that asks for it.
    fn client(&self) -> Arc<Client> {
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner).clone();
        match client.ended() {
            None => client,
            Some(code) => self.replace(&client, code),
        }
    }

    fn replace(&self, ended: &Arc<Client>, code: RDKafkaErrorCode) -> Arc<Client> {
        let mut current = self.client.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, ended) {
            return current.clone();
        }
        let brokers = &self.config.brokers;
        match Client::new(&self.config) {
            Ok(client) => {
                tracing::warn!(%brokers, %code, "replacing the Kafka producer after an error");
                self.metrics.replaced.inc();
                release(std::mem::replace(&mut *current, Arc::new(client)));
            }
            // Every call fails and says why until a client can be created.
            Err(error) => tracing::error!(%brokers, %error, "no new Kafka producer"),
        }
        current.clone()
    }
}

/// Drops a client on a thread that may block, once the calls that still use it have their
/// answers; they end by the delivery timeout.
fn release(client: Arc<Client>) {
    let deadline = Instant::now() + Duration::from_millis(client.config.delivery_timeout_ms);
    tokio::task::spawn_blocking(move || {
        while Arc::strong_count(&client) > 1 && Instant::now() < deadline {
            std::thread::sleep(RELEASE_INTERVAL);
        }
    });
}

impl Client {
    fn new(config: &ProducerConfig) -> Result<Self, Error> {
        let reach = Reach::new();
        let native = FutureProducer::from_config_and_context(&config.to_native(), reach.clone())
            .map_err(|error| Error::client(config, error))?;
        Ok(Self { native, reach, config: config.clone(), ended: OnceLock::new() })
    }

    /// The error after which it is replaced, if there was one.
    fn ended(&self) -> Option<RDKafkaErrorCode> {
        let fatal = || self.native.client().fatal_error().map(|(code, _)| code);
        self.ended.get().copied().or_else(fatal)
    }

    async fn send(&self, records: &[OutgoingRecord]) -> Result<Vec<Delivery>, ProduceError> {
        let mut waiting = Vec::with_capacity(records.len());
        for record in records {
            waiting.push(self.acknowledged(&record.topic, self.enqueue(record)?));
        }
        let patience = self.config.unreachable_timeout();
        tokio::select! {
            biased;
            deliveries = try_join_all(waiting) => deliveries,
            () = self.reach.given_up(patience) => Err(self.unreachable(records)),
        }
    }

    /// Puts the record in librdkafka's queue, which copies it. Never waits.
    fn enqueue(&self, record: &OutgoingRecord) -> Result<DeliveryFuture, ProduceError> {
        // librdkafka would ask the broker for it, and keep it in memory for ever.
        if !produce::is_topic_name(&record.topic) {
            let error = KafkaError::MessageProduction(RDKafkaErrorCode::InvalidTopic);
            return Err(self.classify(error, &record.topic));
        }
        let native = FutureRecord::<[u8], [u8]> {
            topic: &record.topic,
            partition: None,
            payload: record.value.as_deref(),
            key: record.key.as_deref(),
            timestamp: None,
            headers: native_headers(&record.headers),
        };
        self.native.send_result(native).map_err(|(error, _)| self.classify(error, &record.topic))
    }

    async fn acknowledged(
        &self,
        topic: &str,
        delivery: DeliveryFuture,
    ) -> Result<Delivery, ProduceError> {
        match delivery.await {
            Ok(Ok(delivery)) => {
                self.reach.answered();
                Ok(Delivery { partition: delivery.partition, offset: delivery.offset })
            }
            Ok(Err((error, _))) => Err(self.classify(error, topic)),
            Err(_) => Err(ProduceError::Unavailable(format!(
                "topic `{topic}` at {}: the producer is gone",
                self.config.brokers
            ))),
        }
    }

    fn unreachable(&self, records: &[OutgoingRecord]) -> ProduceError {
        let topic = records.first().map_or("", |record| &record.topic);
        self.reach.failed(topic);
        let code = RDKafkaErrorCode::AllBrokersDown;
        classify(code, topic, &self.config.brokers, false)
    }

    fn classify(&self, error: KafkaError, topic: &str) -> ProduceError {
        let brokers = &self.config.brokers;
        let Some(code) = error.rdkafka_error_code() else {
            return ProduceError::Other(format!("topic `{topic}` at {brokers}: {error}"));
        };
        if is_replaced_after(code, self.reach.is_reachable()) {
            self.ended.get_or_init(|| code);
        }
        // The code that made the producer unusable says more than that it is unusable.
        let fatal = (code == RDKafkaErrorCode::Fatal).then(|| self.native.client().fatal_error());
        let code = fatal.flatten().map_or(code, |(code, _)| code);
        let reachable = self.reach.is_reachable();
        let error = classify(code, topic, brokers, reachable);
        if !reachable && matches!(error, ProduceError::Unavailable(_)) {
            self.reach.failed(topic);
        }
        error
    }
}
