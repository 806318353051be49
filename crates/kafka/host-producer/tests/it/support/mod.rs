//! Common parts of the tests.

use std::future::Future;

use host_producer::{OutgoingRecord, Producer, ProducerConfig};
use test_servers::WAIT_LIMIT;

/// Waits for the future; panics after [`WAIT_LIMIT`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(WAIT_LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long for {what}"),
    }
}

pub fn producer(brokers: &str) -> Producer {
    Producer::new(ProducerConfig::new(brokers)).unwrap()
}

pub fn record(topic: &str, key: &[u8], value: &[u8]) -> OutgoingRecord {
    OutgoingRecord {
        topic: topic.into(),
        key: Some(key.into()),
        value: Some(value.into()),
        ..OutgoingRecord::default()
    }
}
