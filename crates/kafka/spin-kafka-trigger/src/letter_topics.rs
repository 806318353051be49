//! Checks at start whether dead letters can be written, before the first one is needed.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use crate::backoff::Backoff;
use crate::consumer::Consumer;
use crate::engine::Engine;
use crate::query::QUIET_FAILURES;
use crate::refusal::{advice, is_refusal};

/// How long one query may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The first pause after a failed query.
const BACKOFF: Duration = Duration::from_millis(100);
/// The longest pause after a failed query.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Log message for a query without an answer.
const NO_ANSWER: &str =
    "it is not known yet whether dead letters can be written; repeating the query";

/// Logs which dead-letter topics are missing, and which of them this client may not use. If the
/// cluster does not answer, the query is repeated until it does or the engine stops.
pub(crate) async fn check(engine: Arc<Engine>, consumer: Arc<Consumer>) {
    for topic in engine.config.dead_letter_topics() {
        tokio::select! {
            () = engine.stop.cancelled() => return,
            refusal = query_refusal(&consumer, &topic) => {
                if let Some(error) = refusal {
                    tracing::warn!(
                        dead_letter_topic = %topic,
                        %error,
                        advice = advice(&error),
                        "dead letters cannot be written: if a record is given up, its partition \
                         waits until they can"
                    );
                }
            }
        }
    }
}

/// Repeats the query until the cluster answers. Returns why a letter would be refused, if
/// the metadata shows it.
async fn query_refusal(consumer: &Arc<Consumer>, topic: &str) -> Option<KafkaError> {
    let mut backoff = Backoff::new(BACKOFF, BACKOFF_MAX);
    loop {
        let (consumer, name) = (consumer.clone(), topic.to_owned());
        let reason = match tokio::task::spawn_blocking(move || refusal(&consumer, &name)).await {
            Ok(Ok(refusal)) => return refusal,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let pause = backoff.next_pause();
        if backoff.attempts() <= QUIET_FAILURES {
            tracing::debug!(dead_letter_topic = %topic, reason, "{NO_ANSWER}");
        } else {
            tracing::warn!(dead_letter_topic = %topic, reason, "{NO_ANSWER}");
        }
        tokio::time::sleep(pause).await;
    }
}

/// Why the cluster would refuse a letter, if the metadata shows it.
fn refusal(consumer: &Consumer, topic: &str) -> KafkaResult<Option<KafkaError>> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
    let code = metadata.topics().first().and_then(|topic| topic.error());
    let error = code.map(|code| KafkaError::MetadataFetch(RDKafkaErrorCode::from(code)));
    match error {
        Some(error) if !is_refusal(&error) => Err(error),
        refusal => Ok(refusal),
    }
}
