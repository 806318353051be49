//! Writes a sale to Kafka.

use guest_http::{Variable, report};
use intake::IntakeError;
use intake::hop_times::{HopTime, HopTimer};
use intake::request::{Context, IDEMPOTENCY_KEY, TRACEPARENT};
use sale::{Sale, Violation};

use crate::bindings::spin_kafka::events::producer;
use crate::bindings::spin_kafka::events::types::{Header, Outgoing, ProduceError};
use crate::key_claim;

static TOPIC: Variable = Variable::new("kafka_topic");

/// Writes the sale and waits for the broker's acknowledgement. The sale must be valid: the entry
/// through which it came from outside has checked it. Returns the time of the acknowledgement.
pub async fn publish(sale: Sale, context: Context) -> Result<Vec<HopTime>, IntakeError> {
    let (topic, value) = (TOPIC.get().await?, sale.to_json());
    if let Some(key) = &context.idempotency_key {
        key_claim::claim(topic, key, &value).await?;
    }
    let timer = HopTimer::start("kafka", &context);
    let record = Outgoing {
        topic: topic.to_owned(),
        partition: None,
        timestamp_ms: None,
        key: Some(sale.product_id.into_bytes()),
        value: Some(value),
        headers: headers(context),
    };
    let results = producer::send(vec![record]).await;
    let result = results.into_iter().next().ok_or_else(|| {
        IntakeError::Other("the producer returned no result for the record".into())
    })?;
    result.map_err(failure)?;
    Ok(timer.stop(Vec::new()))
}

fn headers(context: Context) -> Vec<Header> {
    [(IDEMPOTENCY_KEY, context.idempotency_key), (TRACEPARENT, context.traceparent)]
        .into_iter()
        .filter_map(|(name, value)| {
            Some(Header { name: name.into(), value: Some(value?.into_bytes()) })
        })
        .collect()
}

fn failure(error: ProduceError) -> IntakeError {
    match error {
        ProduceError::QueueFull => {
            IntakeError::Overloaded("the producer's queue is full; try again later".into())
        }
        ProduceError::TimedOut(text) => IntakeError::TimedOut(text),
        ProduceError::Unavailable(text) => IntakeError::Unavailable(text),
        ProduceError::TooLarge(text) => {
            // The text names the topic and the brokers, so it is logged but not sent to the client.
            report(&IntakeError::Other(text));
            IntakeError::Invalid(Violation::new("body", "is longer than the topic allows"))
        }
        ProduceError::Refused(text) | ProduceError::Other(text) => IntakeError::Other(text),
    }
}
