//! Identifies the log that is stored under a topic's name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use kafka_client::BasicContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, Producer as _};

use crate::query::ANSWER_TIMEOUT;
use crate::{Config, client_config, native};

/// Prefix of the cluster id of librdkafka's mock cluster (`rdkafka_mock.c`). That cluster has no
/// controller, so that requests for topic ids cannot be sent to it; its topics exist as long as the
/// cluster.
const MOCK_CLUSTER: &str = "mockCluster";

/// How often the topic's id is checked while there is nothing to read. A topic that was deleted and
/// created again is detected after about this time, or with its first record.
pub(crate) const LOG_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How many cuts of a log are supported.
pub(crate) const CUTS_MAX: u32 = 8;

/// A partition's log, as handlers identify it.
///
/// A log that lost its end, for example because a replica without it was elected leader, gets
/// another name: its offsets from there on belong to other records now, and a position in the old
/// log is not valid in the new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    /// The topic's log id.
    pub id: Arc<str>,
    /// How often the log was cut, as far as this group detected it.
    pub cuts: u32,
    /// The value that handlers get as the id of the log.
    pub name: Arc<str>,
}

impl Log {
    pub fn new(id: &Arc<str>, cuts: u32) -> Self {
        let name = if cuts == 0 { id.clone() } else { format!("{id}~{cuts}").into() };
        Self { id: id.clone(), cuts, name }
    }

    /// The log after one more cut; `None` after `CUTS_MAX` cuts.
    pub fn cut(&self) -> Option<Self> {
        (self.cuts < CUTS_MAX).then(|| Self::new(&self.id, self.cuts + 1))
    }
}

/// The ids of the topics' logs: `<cluster id>/<topic id>`, both in the form in which Kafka prints
/// them; only the cluster id if the brokers do not support topic ids (before Kafka 2.8).
///
/// A topic that is deleted and created again gets a new id, and an id is never reused. An answer is
/// therefore valid for records that were fetched before the request was sent, provided that the
/// broker that served them gave it: another broker may not know the new topic yet.
///
/// The consumer's own connections are not suitable for these requests: a broker answers the
/// requests of a connection in order, and a fetch that waits for records blocks the connection for
/// half a second.
pub(crate) struct LogIds {
    config: Config,
    client: OnceLock<FutureProducer<BasicContext>>,
    answers: Mutex<HashMap<Request, Arc<LastAnswer>>>,
}

/// A topic, and the id of the broker that is queried; `None` for any broker.
type Request = (Arc<str>, Option<i32>);

/// The last answer. It is locked during the request, so that partitions share an answer, including
/// an error: otherwise they would wait one after the other.
#[derive(Default)]
struct LastAnswer(tokio::sync::Mutex<Option<Answer>>);

struct Answer {
    id: KafkaResult<Arc<str>>,
    requested: Instant,
}

impl LastAnswer {
    /// Returns an answer that was requested at `not_before` or later. An error is reused only if it
    /// was requested while this call waited.
    async fn get(
        &self,
        not_before: Instant,
        request: impl AsyncFnOnce() -> KafkaResult<Arc<str>>,
    ) -> KafkaResult<Arc<str>> {
        let called = Instant::now();
        let mut last = self.0.lock().await;
        let holds = |answer: &&Answer| {
            answer.requested >= not_before && (answer.id.is_ok() || answer.requested >= called)
        };
        if let Some(answer) = last.as_ref().filter(holds) {
            return answer.id.clone();
        }
        let requested = Instant::now();
        let id = request().await;
        *last = Some(Answer { id: id.clone(), requested });
        id
    }
}

impl LogIds {
    pub fn new(config: Config) -> Self {
        Self { config, client: OnceLock::new(), answers: Mutex::default() }
    }

    /// The topic's log id according to this broker, or to any broker if none is given. The answer
    /// was requested at `not_before` or later.
    pub async fn get(
        &self,
        topic: &Arc<str>,
        broker: Option<i32>,
        not_before: Instant,
    ) -> KafkaResult<Arc<str>> {
        let last = self.last_answer(topic, broker);
        let request = async || {
            let (client, topic) = (self.client()?, topic.clone());
            let answer = tokio::task::spawn_blocking(move || query(&client, &topic, broker));
            // The task fails only if the runtime shuts down.
            Ok(answer.await.map_err(|_| KafkaError::Canceled)??.into())
        };
        last.get(not_before, request).await
    }

    /// The client for the requests: a producer, because a `FutureProducer` polls its own events. It
    /// writes nothing.
    fn client(&self) -> KafkaResult<FutureProducer<BasicContext>> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let context = BasicContext::new(self.config.tokens());
        let client: FutureProducer<BasicContext> =
            client_config::inquirer(&self.config).create(context)?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    fn last_answer(&self, topic: &Arc<str>, broker: Option<i32>) -> Arc<LastAnswer> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.entry((topic.clone(), broker)).or_default().clone()
    }
}

fn query(
    client: &FutureProducer<BasicContext>,
    topic: &str,
    broker: Option<i32>,
) -> KafkaResult<String> {
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
        // Other errors may be transient. The cluster id alone would look like another log.
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::future::{join, join_all};

    use super::*;

    #[tokio::test]
    async fn waiting_requests_share_an_error() {
        let (last, requests) = (LastAnswer::default(), Cell::new(0));
        let fail = async || {
            requests.set(requests.get() + 1);
            tokio::task::yield_now().await;
            Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))
        };
        let begun = Instant::now();
        let waiting = (0..100).map(|_| last.get(Instant::now(), fail));
        assert!(join_all(waiting).await.iter().all(Result::is_err));
        assert_eq!(requests.get(), 2, "one is in progress, and the next one is for all that wait");
        // An error must not count as a newer answer to later requests, which an older answer would
        // satisfy.
        let (answer, _) = join(last.get(begun, async || Ok("id".into())), async {}).await;
        assert_eq!(answer.as_deref(), Ok("id"));
        assert_eq!(last.get(begun, fail).await.as_deref(), Ok("id"));
        assert_eq!(requests.get(), 2);
    }
}
