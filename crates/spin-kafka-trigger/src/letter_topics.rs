//! Looks at the start whether dead letters can be written, before there is one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::group::Consumer;
use crate::pattern::is_pattern;
use crate::refusal::{advice, is_refusal};
use crate::{Config, FailedRecords};

/// How long the cluster may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The first pause after a question without an answer.
const BACKOFF: Duration = Duration::from_millis(100);
/// The longest.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Says which dead-letter topics are missing or closed to this client. A cluster that does not
/// answer is asked until it does, or the engine stops.
pub(crate) async fn look(engine: Arc<Engine>, consumer: Arc<Consumer>) {
    for topic in names(&engine.config) {
        let mut backoff = Backoff::new(BACKOFF, BACKOFF_MAX);
        loop {
            let (asked, name) = (consumer.clone(), topic.clone());
            let answer = tokio::task::spawn_blocking(move || refusal(&asked, &name)).await;
            if let Ok(Ok(refusal)) = answer {
                if let Some(error) = refusal {
                    tracing::warn!(
                        dead_letter_topic = %topic,
                        %error,
                        advice = advice(&error),
                        "dead letters cannot be written: the first record that is given up will \
                         stop its partition until they can"
                    );
                }
                break;
            }
            tokio::select! {
                () = engine.stop.cancelled() => return,
                () = tokio::time::sleep(backoff.next()) => {}
            }
        }
    }
}

/// The dead-letter topics as far as the settings name them.
fn names(config: &Config) -> BTreeSet<String> {
    if config.failed_records != FailedRecords::DeadLetter {
        return BTreeSet::new();
    }
    if !config.dead_letter_topic.is_empty() {
        return BTreeSet::from([config.dead_letter_topic.clone()]);
    }
    let named = config.topics.iter().filter(|topic| !is_pattern(topic));
    named.map(|topic| config.dead_letter_topic(topic).into_owned()).collect()
}

/// Why the cluster would refuse a letter, as far as it tells.
fn refusal(consumer: &Consumer, topic: &str) -> KafkaResult<Option<KafkaError>> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
    let code = metadata.topics().first().and_then(|topic| topic.error());
    let error = code.map(|code| KafkaError::MetadataFetch(RDKafkaErrorCode::from(code)));
    match error {
        Some(error) if !is_refusal(&error) => Err(error),
        refusal => Ok(refusal),
    }
}
