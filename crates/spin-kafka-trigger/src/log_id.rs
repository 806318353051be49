//! Which log a topic's name stands for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use crate::group::Consumer;
use crate::native;

/// How long the cluster may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How librdkafka's in-process cluster begins its id (`rdkafka_mock.c`). It names no controller,
/// so no question for topic ids reaches it; its topics live and end with the cluster.
const MOCK_CLUSTER: &str = "mockCluster";

/// The ids of the topics' logs: `<cluster id>/<topic id>`, both as Kafka prints them; the
/// cluster id alone where brokers give topics no ids (before Kafka 2.8).
#[derive(Default)]
pub(crate) struct LogIds(Mutex<HashMap<Arc<str>, Known>>);

struct Known {
    id: Arc<str>,
    asked: Instant,
}

impl LogIds {
    /// The topic's log id; asked unless it was since `not_before`. Blocks.
    pub fn get(
        &self,
        consumer: &Consumer,
        topic: &Arc<str>,
        not_before: Instant,
    ) -> KafkaResult<Arc<str>> {
        if let Some(id) = self.known(topic, not_before) {
            return Ok(id);
        }
        let asked = Instant::now();
        let id: Arc<str> = ask(consumer, topic)?.into();
        self.lock().insert(topic.clone(), Known { id: id.clone(), asked });
        Ok(id)
    }

    fn known(&self, topic: &str, not_before: Instant) -> Option<Arc<str>> {
        let ids = self.lock();
        let known = ids.get(topic)?;
        (known.asked >= not_before).then(|| known.id.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ask(consumer: &Consumer, topic: &str) -> KafkaResult<String> {
    let client = consumer.client();
    let cluster = client
        .fetch_cluster_id(ANSWER_TIMEOUT)
        .ok_or(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))?;
    if cluster.starts_with(MOCK_CLUSTER) {
        return Ok(cluster);
    }
    match native::topic_id(client, topic, ANSWER_TIMEOUT) {
        Ok(Some(topic)) => Ok(format!("{cluster}/{topic}")),
        Ok(None) | Err(KafkaError::AdminOp(RDKafkaErrorCode::UnsupportedFeature)) => Ok(cluster),
        // Anything else may pass. The cluster's id alone would look like another log.
        Err(error) => Err(error),
    }
}
