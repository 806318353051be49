//! The state that all parts of a running engine share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::call::ErasedHandler;
use crate::extent::Extent;
use crate::letter_sink::LetterSink;
use crate::log_id::LogIds;
use crate::transactions::Transactions;
use crate::turns::Turns;
use crate::{Config, Error, Metrics, Progress};

/// What was read of a partition's log.
#[derive(Debug, Clone)]
pub(crate) struct History {
    /// The log's name.
    pub log: Arc<str>,
    pub read: Extent,
    /// The latest timestamp of the records that were read.
    pub newest_ms: Option<i64>,
}

pub(crate) struct Engine {
    pub config: Config,
    pub handler: Arc<dyn ErasedHandler>,
    pub metrics: Arc<Metrics>,
    pub progress: Arc<Progress>,
    pub log_ids: LogIds,
    /// What was read of each partition, including revoked ones. If the brokers lose the end of a
    /// log, this determines where to read again.
    history: Mutex<HashMap<(Arc<str>, i32), History>>,
    pub dead_letters: LetterSink,
    /// Writes what the handler returns; `None` without `output_topics`, and without Kafka.
    pub transactions: Option<Transactions>,
    /// Limits the number of partitions that are read at once.
    pub turns: Turns,
    /// Limits the number of batches that the handler processes at the same time.
    pub calls: Semaphore,
    /// The runtime of the partitions' tasks.
    pub runtime: Handle,
    /// Cancelled when the engine has to drain. After that no batch is handed over.
    pub stop: CancellationToken,
    failures: mpsc::Sender<Error>,
}

impl Engine {
    /// Creates the state; the receiver gets the error that stops the engine.
    pub fn new(
        config: Config,
        handler: Arc<dyn ErasedHandler>,
        metrics: Arc<Metrics>,
        progress: Arc<Progress>,
    ) -> (Arc<Self>, mpsc::Receiver<Error>) {
        let letters = LetterSink::topics(config.clone());
        let transactions =
            config.is_transactional().then(|| Transactions::start(config.clone(), metrics.clone()));
        Self::with_sinks(config, handler, metrics, progress, letters, transactions)
    }

    /// The same, with other destinations of dead letters and records.
    pub fn with_sinks(
        config: Config,
        handler: Arc<dyn ErasedHandler>,
        metrics: Arc<Metrics>,
        progress: Arc<Progress>,
        dead_letters: LetterSink,
        transactions: Option<Transactions>,
    ) -> (Arc<Self>, mpsc::Receiver<Error>) {
        let (failures, failed) = mpsc::channel(1);
        let engine = Self {
            handler,
            metrics,
            progress,
            log_ids: LogIds::new(config.clone()),
            history: Mutex::default(),
            dead_letters,
            transactions,
            turns: Turns::new(config.partitions_at_once()),
            calls: Semaphore::new(config.concurrency_max),
            runtime: Handle::current(),
            stop: CancellationToken::new(),
            failures,
            config,
        };
        (Arc::new(engine), failed)
    }

    /// Stops the engine with this error. Only the first error is kept.
    pub fn fail(&self, error: Error) {
        if let Err(error) = self.failures.try_send(error) {
            tracing::error!(error = %error.into_inner(), "another error while the engine stops");
        }
    }

    /// Stops the engine because of an error from which the client cannot recover.
    pub fn fail_client(&self, error: KafkaError) {
        let code = RDKafkaErrorCode::UnreleasedInstanceId;
        if matches!(error, KafkaError::MessageConsumptionFatal(found) if found == code) {
            let Config { group, brokers, instance_id, .. } = self.config.clone();
            self.fail(Error::InstanceIdInUse { group, brokers, instance_id });
        } else {
            self.fail_group(error);
        }
    }

    /// Stops the engine because the client cannot continue.
    pub fn fail_group(&self, reason: impl ToString) {
        self.fail(self.group_error(reason));
    }

    /// The error for a client that cannot continue.
    pub fn group_error(&self, reason: impl ToString) -> Error {
        Error::Group {
            group: self.config.group.clone(),
            brokers: self.config.brokers.clone(),
            reason: reason.to_string(),
        }
    }

    /// What this process has read of the log of this name; `None` if nothing.
    pub fn history(&self, topic: &Arc<str>, partition: i32, log: &Arc<str>) -> Option<History> {
        let histories = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let history = histories.get(&(topic.clone(), partition))?;
        (history.log == *log).then(|| history.clone())
    }

    /// Notes how far a log was read, and the latest timestamp of the records of the last batch.
    pub fn remember(
        &self,
        topic: &Arc<str>,
        partition: i32,
        log: &Arc<str>,
        read: Extent,
        newest_ms: Option<i64>,
    ) {
        let key = (topic.clone(), partition);
        let mut histories = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let known = histories.get(&key).filter(|known| known.log == *log);
        let newest_ms = newest_ms.max(known.and_then(|known| known.newest_ms));
        histories.insert(key, History { log: log.clone(), read, newest_ms });
    }

    /// Logs and counts that the log no longer holds the offsets from `from` up to, not including,
    /// `to`.
    pub fn report_loss(&self, topic: &str, partition: i32, from: i64, to: i64) {
        self.metrics.records_lost.inc_by(to.saturating_sub(from).unsigned_abs());
        tracing::error!(topic, partition, from, to, "the log no longer holds these offsets");
    }
}
