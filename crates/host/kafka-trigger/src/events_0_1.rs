//! What differs in version 0.1.0 of `spin-kafka:events`, which components that were built earlier
//! use. Types with the same fields are those of `events.rs`.

use std::sync::Arc;

use host_producer::OutgoingRecord;
use wasmtime::component::{ComponentType, Lift, Lower};

use crate::events::{self, Header, RecordRef};
use crate::packed::{self, PackedHeader, PackedRecord};

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct BatchRef<'a> {
    topic: &'a str,
    #[component(name = "log-id")]
    log_id: &'a str,
    partition: i32,
    first: bool,
    start: i64,
    end: i64,
    #[component(name = "messages")]
    records: Vec<RecordRef<'a>>,
}

impl<'a> BatchRef<'a> {
    /// `keeps_position` says whether the component exports `checkpoint`.
    pub fn new(batch: events::BatchRef<'a>, keeps_position: bool) -> Self {
        Self {
            topic: batch.topic,
            log_id: batch.log_id.unwrap_or_default(),
            partition: batch.partition,
            first: keeps_position && batch.expected_position.is_none(),
            start: batch.start,
            end: batch.end,
            records: batch.records,
        }
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct PackedBatch {
    topic: Arc<str>,
    #[component(name = "log-id")]
    log_id: Arc<str>,
    partition: i32,
    first: bool,
    start: i64,
    end: i64,
    content: Vec<u8>,
    headers: Vec<PackedHeader>,
    #[component(name = "messages")]
    records: Vec<PackedRecord>,
}

impl PackedBatch {
    /// `keeps_position` says whether the component exports `checkpoint`.
    pub fn new(batch: packed::PackedBatch, keeps_position: bool) -> Self {
        Self {
            topic: batch.topic,
            log_id: batch.log_id.unwrap_or_default(),
            partition: batch.partition,
            first: keeps_position && batch.expected_position.is_none(),
            start: batch.start,
            end: batch.end,
            content: batch.content,
            headers: batch.headers,
            records: batch.records,
        }
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Outgoing {
    topic: String,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
}

impl From<Outgoing> for OutgoingRecord {
    fn from(Outgoing { topic, key, value, headers }: Outgoing) -> Self {
        let headers = headers.into_iter().map(Into::into).collect();
        Self { topic, key, value, headers, ..Self::default() }
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Delivery {
    partition: i32,
    offset: i64,
}

impl From<host_producer::Delivery> for Delivery {
    fn from(delivery: host_producer::Delivery) -> Self {
        Self { partition: delivery.partition, offset: delivery.offset.unwrap_or(-1) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::events::tests::batch;

    /// The values of `first` and `log-id` in a batch for a component with or without a checkpoint.
    fn passed(expected_position: Option<i64>, keeps_position: bool) -> [(bool, String); 2] {
        let mut batch = batch();
        (batch.expected_position, batch.log_id) = (expected_position, "".into());
        let headers = events::headers(&batch);
        let lists = events::BatchRef::new(&batch, &headers, Duration::MAX);
        let lists = BatchRef::new(lists, keeps_position);
        let packed = packed::PackedBatch::new(&batch, Duration::MAX).unwrap();
        let packed = PackedBatch::new(packed, keeps_position);
        assert_eq!((lists.records.len(), packed.records.len()), (2, 2));
        [(lists.first, lists.log_id.to_owned()), (packed.first, packed.log_id.to_string())]
    }

    #[test]
    fn a_batch_is_the_first_if_no_position_is_expected() {
        for (expected_position, keeps_position, first) in
            [(None, true, true), (Some(0), true, false), (None, false, false)]
        {
            for batch in passed(expected_position, keeps_position) {
                assert_eq!(batch, (first, String::new()));
            }
        }
    }

    #[test]
    fn an_unknown_offset_is_negative() {
        let delivery = host_producer::Delivery { partition: 3, offset: None };
        assert_eq!(Delivery::from(delivery).offset, -1);
    }
}
