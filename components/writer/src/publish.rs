//! Writes a sale to Kafka.

use guest_http::Variable;
use guest_kafka::{Record, claim, send};
use intake::IntakeError;
use intake::hop_times::{HopTime, HopTimer};
use intake::request::{Context, IDEMPOTENCY_KEY, TRACEPARENT};
use sale::Sale;

static TOPIC: Variable = Variable::new("kafka_topic");

/// Writes the sale and waits for the broker's acknowledgement. The sale must be valid: the entry
/// through which it came from outside has checked it. Returns the time of the acknowledgement.
pub async fn publish(sale: Sale, context: Context) -> Result<Vec<HopTime>, IntakeError> {
    let (topic, value) = (TOPIC.get().await?, sale.to_json());
    if let Some(key) = &context.idempotency_key {
        claim(topic, key, &value).await?;
    }
    let timer = HopTimer::start("kafka", &context);
    let record = Record {
        topic: topic.to_owned(),
        value,
        key: Some(sale.product_id.into_bytes()),
        headers: headers(context),
    };
    send(vec![record]).await?;
    Ok(timer.stop(Vec::new()))
}

fn headers(context: Context) -> Vec<(String, Vec<u8>)> {
    [(IDEMPOTENCY_KEY, context.idempotency_key), (TRACEPARENT, context.traceparent)]
        .into_iter()
        .filter_map(|(name, value)| Some((name.into(), value?.into_bytes())))
        .collect()
}
