//! Writes records and waits for their acknowledgement.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::{MaybeDone, join_all, maybe_done};
use kafka_client::is_replaced_after;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};

use crate::classify::classify;
use crate::reachability::Reachability;
use crate::record::native_headers;
use crate::{Delivery, Error, Metrics, OutgoingRecord, ProduceError, ProducerConfig};

/// How often to check whether a replaced client is still in use.
const RELEASE_INTERVAL: Duration = Duration::from_millis(100);

/// How long to wait for an answer to the request that checks whether a broker is reachable again.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// An idempotent producer with acks=all. Clones share one connection, queue and thread; one
/// producer serves a whole process.
///
/// The underlying Kafka client is replaced when it can no longer write, for example because the
/// broker lost the end of a log to which the client had written. It is also replaced when a record
/// times out although a broker answers.
#[derive(Clone)]
pub struct Producer(Arc<Inner>);

struct Inner {
    client: RwLock<Arc<Client>>,
    config: ProducerConfig,
    metrics: Metrics,
    /// Held during the request that checks whether a broker is reachable again.
    probing: tokio::sync::Mutex<()>,
}

/// One Kafka client.
struct Client {
    native: FutureProducer<Reachability>,
    reachability: Reachability,
    config: ProducerConfig,
    /// The error because of which the client must be replaced.
    ended: OnceLock<RDKafkaErrorCode>,
}

impl Producer {
    /// Fails if a setting is invalid. Unreachable brokers are not an error here.
    pub fn new(config: ProducerConfig) -> Result<Self, Error> {
        config.validate()?;
        let client = RwLock::new(Arc::new(Client::new(&config)?));
        let (metrics, probing) = (Metrics::default(), tokio::sync::Mutex::default());
        Ok(Self(Arc::new(Inner { client, config, metrics, probing })))
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Writes the records like [`Producer::send_each`]. Fails if one of them fails; others may have
    /// been written.
    pub async fn send(&self, records: Vec<OutgoingRecord>) -> Result<Vec<Delivery>, ProduceError> {
        self.send_each(records).await.into_iter().collect()
    }

    /// Writes the records. Resolves when the broker has acknowledged each of them or it has failed,
    /// with one result for each record, in the order of the records. A record may be written
    /// although one before it failed. Records of one call that are written to the same partition
    /// keep their order.
    ///
    /// Resolves within the delivery timeout, and sooner while no broker can be reached. Records for
    /// which the queue has no room fail at once. Dropping the future does not cancel the records.
    pub async fn send_each(
        &self,
        records: Vec<OutgoingRecord>,
    ) -> Vec<Result<Delivery, ProduceError>> {
        let results = self.0.client().send(&records).await;
        self.0.metrics.count(&results);
        results
    }

    /// Why records cannot be written: the last record failed because no broker was reachable, and
    /// none answers now. `None` if that is not the case, or if the producer was not used yet. Takes
    /// at most a second.
    pub async fn fault(&self) -> Option<String> {
        let client = self.0.client();
        let topic = client.reachability.failed_topic()?;
        let brokers = &self.0.config.brokers;
        let fault = format!("the producer cannot reach any Kafka broker of {brokers}");
        // Only one request at a time.
        let Ok(_probing) = self.0.probing.try_lock() else { return Some(fault) };
        let probed = client.clone();
        let probe =
            move || probed.native.client().fetch_metadata(Some(&topic), PROBE_LIMIT).is_ok();
        if tokio::task::spawn_blocking(probe).await.unwrap_or(false) {
            client.reachability.set_reachable();
            return None;
        }
        Some(fault)
    }

    /// Waits until every record so far is acknowledged or has failed.
    pub async fn flush(&self, timeout: Duration) -> Result<(), Error> {
        let client = self.0.client();
        let flushing = client.clone();
        let flush = move || flushing.native.flush(timeout);
        // The only failure besides the timeout is a runtime that shuts down.
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
    /// The current client; a new one if the last one must be replaced.
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
            // Until a client can be created, all calls fail with the reason.
            Err(error) => tracing::error!(%brokers, %error, "cannot create a new Kafka producer"),
        }
        current.clone()
    }
}

/// Drops a client on a thread that may block, after the calls that still use it are answered. They
/// end within the delivery timeout.
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
        let reachability = Reachability::new(config.tokens());
        let native = config.producer_client().create(reachability.clone())?;
        Ok(Self { native, reachability, config: config.clone(), ended: OnceLock::new() })
    }

    /// The error because of which the client must be replaced, if there was one.
    fn ended(&self) -> Option<RDKafkaErrorCode> {
        let fatal = || self.native.client().fatal_error().map(|(code, _)| code);
        self.ended.get().copied().or_else(fatal)
    }

    async fn send(&self, records: &[OutgoingRecord]) -> Vec<Result<Delivery, ProduceError>> {
        let mut waiting: Vec<_> = records.iter().map(|record| self.begin(record)).collect();
        let limit = self.config.unreachable_timeout();
        tokio::select! {
            biased;
            _ = join_all(waiting.iter_mut()) => {}
            () = self.reachability.unreachable_for(limit) => {}
        }
        let results = waiting.into_iter().zip(records).map(|(waiting, record)| match waiting {
            MaybeDone::Done(result) => result,
            MaybeDone::Future(_) | MaybeDone::Gone => Err(self.unreachable(&record.topic)),
        });
        results.collect()
    }

    /// Begins to write the record. The future resolves when it is acknowledged or has failed.
    fn begin(
        &self,
        record: &OutgoingRecord,
    ) -> MaybeDone<impl Future<Output = Result<Delivery, ProduceError>> + Unpin> {
        match self.enqueue(record) {
            Ok(delivery) => {
                maybe_done(delivery.map(|delivery| self.acknowledged(&record.topic, delivery)))
            }
            Err(error) => MaybeDone::Done(Err(error)),
        }
    }

    /// Puts the record into librdkafka's queue, which copies it. Never waits.
    fn enqueue(&self, record: &OutgoingRecord) -> Result<DeliveryFuture, ProduceError> {
        // librdkafka would query the broker for a topic with an invalid name, and would keep it in
        // memory until the client is dropped.
        record.validate()?;
        let native = FutureRecord::<[u8], [u8]> {
            topic: &record.topic,
            partition: record.partition,
            payload: record.value.as_deref(),
            key: record.key.as_deref(),
            timestamp: record.timestamp_ms,
            headers: native_headers(&record.headers),
        };
        self.native.send_result(native).map_err(|(error, _)| self.classify(error, &record.topic))
    }

    fn acknowledged(
        &self,
        topic: &str,
        delivery: <DeliveryFuture as Future>::Output,
    ) -> Result<Delivery, ProduceError> {
        match delivery {
            Ok(Ok(delivery)) => {
                self.reachability.set_reachable();
                // librdkafka uses -1 for an unknown offset.
                let offset = (delivery.offset >= 0).then_some(delivery.offset);
                Ok(Delivery { partition: delivery.partition, offset })
            }
            Ok(Err((error, _))) => Err(self.classify(error, topic)),
            Err(_) => Err(ProduceError::Unavailable(format!(
                "topic `{topic}` at {}: the producer was closed",
                self.config.brokers
            ))),
        }
    }

    fn unreachable(&self, topic: &str) -> ProduceError {
        self.reachability.record_failed(topic);
        let code = RDKafkaErrorCode::AllBrokersDown;
        classify(code, topic, &self.config.brokers, false)
    }

    fn classify(&self, error: KafkaError, topic: &str) -> ProduceError {
        let brokers = &self.config.brokers;
        let Some(code) = error.rdkafka_error_code() else {
            return ProduceError::Other(format!("topic `{topic}` at {brokers}: {error}"));
        };
        if is_replaced_after(code, self.reachability.is_reachable()) {
            self.ended.get_or_init(|| code);
        }
        // The error that made the producer unusable is more informative than `Fatal`.
        let fatal = (code == RDKafkaErrorCode::Fatal).then(|| self.native.client().fatal_error());
        let code = fatal.flatten().map_or(code, |(code, _)| code);
        let reachable = self.reachability.is_reachable();
        let error = classify(code, topic, brokers, reachable);
        if !reachable && matches!(error, ProduceError::Unavailable(_)) {
            self.reachability.record_failed(topic);
        }
        error
    }
}
