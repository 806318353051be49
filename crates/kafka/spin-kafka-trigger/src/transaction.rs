//! One Kafka transaction: records and the offsets of the batches that they result from.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use kafka_client::BasicContext;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use tokio::time::{Instant, sleep, timeout};

use crate::refusal::is_record_refused;
use crate::{Config, Error, client_config};

/// How often a call that timed out is repeated. librdkafka continues the operation in between.
pub(crate) const CALLS_MAX: u32 = 4;
/// How long one call may take that makes a client ready.
const INIT_LIMIT: Duration = Duration::from_secs(10);
/// The pause before such a call, and before a record that does not fit into librdkafka's queue.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the reports about the records of an aborted transaction may take.
const REPORTS_LIMIT: Duration = Duration::from_secs(5);

type Native = FutureProducer<BasicContext>;

/// A record in the form in which it is written.
#[derive(Debug)]
pub(crate) struct WrittenRecord {
    pub topic: Arc<str>,
    pub partition: Option<i32>,
    pub timestamp_ms: Option<i64>,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: OwnedHeaders,
    /// The bytes of key, value and headers.
    pub bytes: usize,
}

/// How a transaction ended.
pub(crate) enum Ended {
    /// Everything was written, and the offsets are committed.
    Committed,
    /// Nothing was written, because brokers refuse records.
    Refused {
        cause: KafkaError,
        /// The first record of each list that a broker refused, with the error.
        refused: Vec<Option<(usize, KafkaError)>>,
    },
    /// It is not known whether it was committed, and the client must not be used any more.
    ///
    /// This is also the case after an abort. If the answer to the commit was lost, librdkafka may
    /// report that it aborted a transaction that the broker has committed. And it gives the sequence
    /// numbers of records that it gave up to later ones, which the broker then takes for repetitions
    /// if it has received the former. The start of the next client decides the transaction, and its
    /// records have another epoch.
    Failed(KafkaError),
}

/// A Kafka client that writes in transactions, one at a time.
pub(crate) struct TransactionalClient {
    native: Native,
    timeout: Duration,
}

/// The reports about the records of a transaction, list by list.
type Reports = Vec<Vec<Result<DeliveryFuture, KafkaError>>>;

impl TransactionalClient {
    /// Creates a client with this id. No other client with the same id can write after its
    /// [`init`](Self::init).
    pub fn new(config: &Config, transactional_id: &str) -> Result<Self, Error> {
        let context = BasicContext::new(config.tokens());
        let settings = client_config::transactional_producer(config, transactional_id);
        Ok(Self { native: settings.create(context)?, timeout: config.transaction_timeout })
    }

    /// Aborts or completes what an earlier client with this id left. After an error that
    /// [`is_retriable`], another call continues this.
    pub async fn init(&self) -> KafkaResult<()> {
        self.call(|native| native.init_transactions(INIT_LIMIT)).await
    }

    /// Writes the lists of records and the offsets in one transaction.
    pub async fn write(
        &self,
        lists: &[Arc<[WrittenRecord]>],
        offsets: TopicPartitionList,
        group: ConsumerGroupMetadata,
    ) -> Ended {
        if let Err(error) = self.call(|native| native.begin_transaction()).await {
            return Ended::Failed(error);
        }
        let mut reports = Vec::with_capacity(lists.len());
        let limit = self.timeout;
        let written = match self.send_all(lists, &mut reports).await {
            Ok(()) => {
                self.repeat(move |native| {
                    native.send_offsets_to_transaction(&offsets, &group, limit)
                })
                .await
            }
            Err(error) => Err(error),
        };
        let written = match written {
            Ok(()) => self.repeat(move |native| native.commit_transaction(limit)).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => Ended::Committed,
            Err(error) if self.is_fatal(&error) => Ended::Failed(error),
            Err(error) => self.abort(error, reports).await,
        }
    }

    /// Aborts the transaction, and determines which records the brokers refuse.
    async fn abort(&self, error: KafkaError, reports: Reports) -> Ended {
        let limit = self.timeout;
        if let Err(error) = self.repeat(move |native| native.abort_transaction(limit)).await {
            return Ended::Failed(error);
        }
        let mut cause = None;
        let mut refused = Vec::with_capacity(reports.len());
        for list in reports {
            let failures = timeout(REPORTS_LIMIT, join_all(list.into_iter().map(failure))).await;
            let failures = failures.unwrap_or_default().into_iter().enumerate();
            let mut failures = failures.filter_map(|(index, error)| Some((index, error?)));
            let first = failures.next();
            cause = cause.or_else(|| first.as_ref().map(|(_, error)| error.clone()));
            let mut all = first.into_iter().chain(failures);
            refused.push(all.find(|(_, error)| is_record_refused(error)));
        }
        let cause = cause.unwrap_or(error);
        if refused.iter().any(Option::is_some) {
            Ended::Refused { cause, refused }
        } else {
            Ended::Failed(cause)
        }
    }

    /// Puts all records into the queue of the client, up to the first that it does not accept.
    async fn send_all(
        &self,
        lists: &[Arc<[WrittenRecord]>],
        reports: &mut Reports,
    ) -> Result<(), KafkaError> {
        let deadline = Instant::now() + self.timeout;
        for list in lists {
            let mut sent = Vec::with_capacity(list.len());
            let mut failed = None;
            for record in list.iter() {
                let report = self.send(record, deadline).await;
                failed = report.as_ref().err().cloned();
                sent.push(report);
                if failed.is_some() {
                    break;
                }
                tokio::task::consume_budget().await;
            }
            reports.push(sent);
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Puts a record into the queue of the client; waits while the queue is full.
    async fn send(
        &self,
        record: &WrittenRecord,
        deadline: Instant,
    ) -> Result<DeliveryFuture, KafkaError> {
        let WrittenRecord { topic, partition, timestamp_ms, key, value, headers, .. } = record;
        loop {
            let sent = self.native.send_result(FutureRecord {
                topic,
                partition: *partition,
                payload: value.as_deref(),
                key: key.as_deref(),
                timestamp: *timestamp_ms,
                headers: Some(headers.clone()),
            });
            match sent {
                Err((KafkaError::MessageProduction(Code::QueueFull), _))
                    if Instant::now() < deadline =>
                {
                    sleep(PAUSE).await;
                }
                sent => return sent.map_err(|(error, _)| error),
            }
        }
    }

    /// Whether the client cannot be used any more.
    fn is_fatal(&self, error: &KafkaError) -> bool {
        let is_fatal = matches!(error, KafkaError::Transaction(error) if error.is_fatal());
        is_fatal || self.native.client().fatal_error().is_some()
    }

    /// Repeats a call that timed out.
    async fn repeat(
        &self,
        call: impl Fn(&Native) -> KafkaResult<()> + Send + 'static,
    ) -> KafkaResult<()> {
        self.call(move |native| {
            for _ in 1..CALLS_MAX {
                match call(native) {
                    Err(error) if is_retriable(&error) => thread::sleep(PAUSE),
                    ended => return ended,
                }
            }
            call(native)
        })
        .await
    }

    /// Makes a call that blocks.
    async fn call(
        &self,
        call: impl Fn(&Native) -> KafkaResult<()> + Send + 'static,
    ) -> KafkaResult<()> {
        let native = self.native.clone();
        let call = tokio::task::spawn_blocking(move || call(&native));
        call.await.unwrap_or(Err(KafkaError::Canceled))
    }
}

/// Whether the same call may succeed later.
pub(crate) fn is_retriable(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_retriable())
}

/// The error because of which a record was not written. The records that the client gave up because
/// of another one have none.
async fn failure(report: Result<DeliveryFuture, KafkaError>) -> Option<KafkaError> {
    let error = match report {
        Ok(report) => report.await.ok()?.err().map(|(error, _)| error)?,
        Err(error) => error,
    };
    let is_given_up = matches!(
        error.rdkafka_error_code(),
        Some(Code::PurgeQueue | Code::PurgeInflight | Code::State)
    );
    (!is_given_up).then_some(error)
}
