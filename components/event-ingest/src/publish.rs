//! Writes the events of a request to Kafka.

use event_routes::Event;
use futures::TryStreamExt as _;
use guest_kafka::{Record, claim, send};
use intake::IntakeError;

/// Maximum number of claims of one request that are in progress at once.
const CLAIMS_AT_ONCE_MAX: usize = 64;

/// Claims the keys of the events, writes the events with one call, so that they keep their order,
/// and waits for the broker's acknowledgements.
pub async fn publish(topic: &str, events: Vec<Event>) -> Result<(), IntakeError> {
    let claims = events.iter().filter_map(|event| event.claim.as_ref());
    let claims = claims.map(|it| Ok(claim(topic, &it.key, &it.content)));
    futures::stream::iter(claims).try_buffered(CLAIMS_AT_ONCE_MAX).try_collect::<()>().await?;
    send(events.into_iter().map(|event| record(topic, event)).collect()).await
}

fn record(topic: &str, event: Event) -> Record {
    let Event { key, value, headers, .. } = event;
    Record { topic: topic.to_owned(), key, value: value.into(), headers }
}
