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

/// The last answer. Locked while the cluster is asked, so that partitions share an answer, also
/// one that is an error: otherwise the partitions would wait one after the other.
#[derive(Default)]
struct Slot(tokio::sync::Mutex<Option<Answer>>);

struct Answer {
    id: KafkaResult<Arc<str>>,
    asked: Instant,
}

impl Slot {
    /// An answer that was asked for at `not_before` or later; an error only if it was asked for
    /// while this waited.
    async fn get(
        &self,
        not_before: Instant,
        ask: impl AsyncFnOnce() -> KafkaResult<Arc<str>>,
    ) -> KafkaResult<Arc<str>> {
        let called = Instant::now();
        let mut last = self.0.lock().await;
        let holds = |answer: &&Answer| {
            answer.asked >= not_before && (answer.id.is_ok() || answer.asked >= called)
        };
        if let Some(answer) = last.as_ref().filter(holds) {
            return answer.id.clone();
        }
        let asked = Instant::now();
        let id = ask().await;
        *last = Some(Answer { id: id.clone(), asked });
        id
    }
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
        let question = async || {
            let (client, topic) = (self.client()?, topic.clone());
            let asking = tokio::task::spawn_blocking(move || ask(&client, &topic, broker));
            // The task fails only if the runtime shuts down.
            Ok(asking.await.map_err(|_| KafkaError::Canceled)??.into())
        };
        slot.get(not_before, question).await
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::future::{join, join_all};

    use super::*;

    #[tokio::test]
    async fn those_that_wait_share_an_error() {
        let (slot, asked) = (Slot::default(), Cell::new(0));
        let fail = async || {
            asked.set(asked.get() + 1);
            tokio::task::yield_now().await;
            Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))
        };
        let begun = Instant::now();
        let waiting = (0..100).map(|_| slot.get(Instant::now(), fail));
        assert!(join_all(waiting).await.iter().all(Result::is_err));
        assert_eq!(asked.get(), 2, "one is under way, the next is for all that wait");
        // An error is no answer for later questions, which an older answer would satisfy.
        let (answer, _) = join(slot.get(begun, async || Ok("id".into())), async {}).await;
        assert_eq!(answer.as_deref(), Ok("id"));
        assert_eq!(slot.get(begun, fail).await.as_deref(), Ok("id"));
        assert_eq!(asked.get(), 2);
    }
}
