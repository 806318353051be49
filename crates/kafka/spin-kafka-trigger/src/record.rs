//! Converts records to librdkafka's types, and writes them.

use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;

use crate::Header;

/// Headers in librdkafka's form.
pub(crate) fn headers<'a>(headers: impl Iterator<Item = &'a Header>) -> OwnedHeaders {
    headers.fold(OwnedHeaders::new(), |all, header| {
        let (key, value) = (&*header.name, header.value.as_deref());
        all.insert(rdkafka::message::Header { key, value })
    })
}

/// Writes a record with this key, value and headers. The key determines the partition, and the
/// timestamp is the current time. Resolves when the broker has acknowledged the record.
pub(crate) async fn write<C: ClientContext + 'static>(
    producer: &FutureProducer<C>,
    topic: &str,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: OwnedHeaders,
) -> Result<(), KafkaError> {
    let record = FutureRecord {
        topic,
        partition: None,
        payload: value,
        key,
        timestamp: None,
        headers: Some(headers),
    };
    producer.send(record, Timeout::Never).await.map(drop).map_err(|(error, _)| error)
}
