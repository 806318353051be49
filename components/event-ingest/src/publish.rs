//! Writes the events of a request to Kafka.

use event_routes::Event;
use futures::{StreamExt as _, TryStreamExt as _};
use guest_http::report;
use guest_kafka::{Record, claim, send, send_each};
use intake::IntakeError;
use intake::hop_times::{HopTime, HopTimer};
use sale::Violation;

/// Maximum number of claims of one request that are in progress at once.
const CLAIMS_AT_ONCE_MAX: usize = 64;

/// Claims the keys of the events, writes the events with one call, so that they keep their order,
/// and waits for the broker's acknowledgements. Returns the time of the producer, if `timer`
/// measures this request.
pub async fn publish(
    topic: &str,
    events: Vec<Event>,
    timer: Option<HopTimer<'_>>,
) -> Result<Vec<HopTime>, IntakeError> {
    let claims = events.iter().map(|event| Ok(claim_key(topic, event)));
    futures::stream::iter(claims).try_buffered(CLAIMS_AT_ONCE_MAX).try_collect::<()>().await?;
    let timer = timer.map(|timer| timer.later("kafka"));
    send(events.into_iter().map(|event| record(topic, event)).collect()).await?;
    Ok(timer.map(|timer| timer.stop(Vec::new())).unwrap_or_default())
}

/// The same for events that do not affect each other. Returns the result of each.
pub async fn publish_each(
    topic: &str,
    events: Vec<Result<Event, Violation>>,
) -> Vec<Result<(), IntakeError>> {
    let claims = events.into_iter().map(async |event| {
        let event = event?;
        claim_key(topic, &event).await.map(|()| event)
    });
    let claimed = futures::stream::iter(claims).buffered(CLAIMS_AT_ONCE_MAX);
    let mut records = Vec::new();
    let mut results: Vec<Result<(), IntakeError>> = Vec::new();
    for event in claimed.collect::<Vec<_>>().await {
        results.push(event.map(|event| records.push(record(topic, event))));
    }
    let sent = send_each(records).await;
    // A result for each record that was sent, in the same order.
    for (result, sent) in results.iter_mut().filter(|result| result.is_ok()).zip(sent) {
        *result = sent;
    }
    results.iter().filter_map(|result| result.as_ref().err()).for_each(report);
    results
}

async fn claim_key(topic: &str, event: &Event) -> Result<(), IntakeError> {
    match &event.claim {
        Some(it) => claim(topic, &it.key, &it.content).await,
        None => Ok(()),
    }
}

fn record(topic: &str, event: Event) -> Record {
    let Event { key, value, headers, .. } = event;
    Record { topic: topic.to_owned(), key, value: value.into(), headers }
}
