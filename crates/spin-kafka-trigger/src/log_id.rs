//! Which log a topic's name stands for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, Producer as _};

use crate::client_log::Plain;
use crate::questions::ANSWER_TIMEOUT;
use crate::{Config, client_config, native};

/// How the id of librdkafka's in-process cluster begins (`rdkafka_mock.c`). It names no
/// controller, so no request for topic ids reaches it; its topics live and end with the cluster.
const MOCK_CLUSTER: &str = "mockCluster";

/// How often a log may be cut.
pub(crate) const CUTS_MAX: u32 = 8;

/// A partition's log as handlers know it.
///
/// A log that lost its end, for example because a replica without it was elected, gets another
/// name: its offsets from there on stand for other records now, and a position in the old log
/// says nothing about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    /// The topic's log id.
    pub id: Arc<str>,
    /// How often the log was cut, as far as this group noticed.
    pub cuts: u32,
    /// What handlers get as the log's id.
    pub name: Arc<str>,
}

impl Log {
    pub fn new(id: &Arc<str>, cuts: u32) -> Self {
        let name = if cuts == 0 { id.clone() } else { format!("{id}~{cuts}").into() };
        Self { id: id.clone(), cuts, name }
    }

    /// The log after it was cut once more, if it may be.
    pub fn cut(&self) -> Option<Self> {
        (self.cuts < CUTS_MAX).then(|| Self::new(&self.id, self.cuts + 1))
    }
}

/// The ids of the topics' logs: `<cluster id>/<topic id>`, both as Kafka prints them; the
/// cluster id alone where brokers give topics no ids (before Kafka 2.8).
///
/// A topic that is deleted and created again gets a new id, and an id is never used again. An
/// answer therefore holds for records that were fetched before it was asked for, provided that
/// the broker that served them gave it: another broker may not know the new topic yet.
///
/// The consumer's own connections cannot be used to ask: a broker answers the requests of a
/// connection in order, and a fetch that waits for records holds it for half a second.
pub(crate) struct LogIds {
    config: Config,
    client: OnceLock<FutureProducer<Plain>>,
    slots: Mutex<HashMap<Question, Arc<Slot>>>,
}

/// A topic, and the broker to ask, unless any will do.
type Question = (Arc<str>, Option<i32>);

/// The last answer. Locked while the cluster is asked, so that partitions share an answer.
type Slot = tokio::sync::Mutex<Option<Answer>>;

struct Answer {
    id: Arc<str>,
    asked: Instant,
}

impl LogIds {
    pub fn new(config: Config) -> Self {
        Self { config, client: OnceLock::new(), slots: Mutex::default() }
    }

    /// The topic's log id according to this broker, or any: an answer that was asked for at
    /// `not_before` or later.
    pub async fn get(
        &self,
        topic: &Arc<str>,
        broker: Option<i32>,
        not_before: Instant,
    ) -> KafkaResult<Arc<str>> {
        let slot = self.slot(topic, broker);
        let mut last = slot.lock().await;
        if let Some(answer) = last.as_ref().filter(|answer| answer.asked >= not_before) {
            return Ok(answer.id.clone());
        }
        let (client, topic, asked) = (self.client()?, topic.clone(), Instant::now());
        let asking = tokio::task::spawn_blocking(move || ask(&client, &topic, broker));
        // The task fails only if the runtime shuts down.
        let id: Arc<str> = asking.await.map_err(|_| KafkaError::Canceled)??.into();
        *last = Some(Answer { id: id.clone(), asked });
        Ok(id)
    }

    /// The client that asks: a producer, because it serves its own events; it writes nothing.
    fn client(&self) -> KafkaResult<FutureProducer<Plain>> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let native = client_config::inquirer(&self.config);
        let client = FutureProducer::from_config_and_context(&native, Plain::new(&self.config))?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    fn slot(&self, topic: &Arc<str>, broker: Option<i32>) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry((topic.clone(), broker)).or_default().clone()
    }
}

fn ask(client: &FutureProducer<Plain>, topic: &str, broker: Option<i32>) -> KafkaResult<String> {
    let client = client.client();
    let cluster = client
        .fetch_cluster_id(ANSWER_TIMEOUT)
        .ok_or(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))?;
    if cluster.starts_with(MOCK_CLUSTER) {
        return Ok(cluster);
    }
    match native::topic_id(client, topic, broker, ANSWER_TIMEOUT) {
        Ok(Some(topic)) => Ok(format!("{cluster}/{topic}")),
        Ok(None) | Err(KafkaError::AdminOp(RDKafkaErrorCode::UnsupportedFeature)) => Ok(cluster),
        // Anything else may pass. The cluster's id alone would look like another log.
        Err(error) => Err(error),
    }
}
