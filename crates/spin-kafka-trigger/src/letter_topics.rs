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
use crate::questions::ASKS_QUIET;
use crate::refusal::{advice, is_refusal};
use crate::{Config, FailedRecords};

/// How long the cluster may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The first pause after a question without an answer.
const BACKOFF: Duration = Duration::from_millis(100);
/// The longest.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// A failed question, in the log.
const NO_ANSWER: &str = "it is not known yet whether dead letters can be written; asking again";

/// Says which dead-letter topics are missing or closed to this client. A cluster that does not
/// answer is asked until it does, or the engine stops.
pub(crate) async fn look(engine: Arc<Engine>, consumer: Arc<Consumer>) {
    for topic in names(&engine.config) {
        tokio::select! {
            () = engine.stop.cancelled() => return,
            refusal = ask(&consumer, &topic) => {
                if let Some(error) = refusal {
                    tracing::warn!(
                        dead_letter_topic = %topic,
                        %error,
                        advice = advice(&error),
                        "dead letters cannot be written: the first record that is given up will \
                         stop its partition until they can"
                    );
                }
            }
        }
    }
}

/// Asks until the cluster answers why it would refuse a letter, as far as it tells.
async fn ask(consumer: &Arc<Consumer>, topic: &str) -> Option<KafkaError> {
    let mut backoff = Backoff::new(BACKOFF, BACKOFF_MAX);
    loop {
        let (asked, name) = (consumer.clone(), topic.to_owned());
        let reason = match tokio::task::spawn_blocking(move || refusal(&asked, &name)).await {
            Ok(Ok(refusal)) => return refusal,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let pause = backoff.next();
        if backoff.attempts() <= ASKS_QUIET {
            tracing::debug!(dead_letter_topic = %topic, reason, "{NO_ANSWER}");
        } else {
            tracing::warn!(dead_letter_topic = %topic, reason, "{NO_ANSWER}");
        }
        tokio::time::sleep(pause).await;
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
