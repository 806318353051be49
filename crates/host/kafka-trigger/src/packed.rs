//! Batches in the form of `spin-kafka:events/packed-handler`: the bytes of all records are in one
//! list, so the component makes one allocation for them instead of several for each record.

use std::sync::Arc;
use std::time::Duration;

use spin_kafka_trigger as engine;
use wasmtime::component::{ComponentType, Lower};

use crate::events::{limit_ms, log_id};

/// Number of header names for which it is known where they are in the content.
const NAMES_MAX: usize = 8;

/// A part of the content.
#[derive(ComponentType, Lower, Debug, Clone, Copy, PartialEq, Eq)]
#[component(record)]
pub(crate) struct Part {
    start: u32,
    length: u32,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct PackedHeader {
    name: Part,
    value: Option<Part>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct PackedRecord {
    offset: i64,
    #[component(name = "timestamp-ms")]
    timestamp_ms: Option<i64>,
    key: Option<Part>,
    value: Option<Part>,
    headers: u32,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct PackedBatch {
    pub topic: Arc<str>,
    #[component(name = "log-id")]
    pub log_id: Option<Arc<str>>,
    pub partition: i32,
    pub group: Arc<str>,
    #[component(name = "expected-position")]
    pub expected_position: Option<i64>,
    pub start: i64,
    pub end: i64,
    pub attempt: u32,
    #[component(name = "time-limit-ms")]
    pub time_limit_ms: u32,
    pub content: Vec<u8>,
    pub headers: Vec<PackedHeader>,
    pub records: Vec<PackedRecord>,
}

impl PackedBatch {
    /// Packs a batch. `None` if its bytes exceed the 4 GiB that a component can address.
    pub fn new(batch: &engine::Batch, time_limit: Duration) -> Option<Self> {
        let bytes = batch.records.iter().map(engine::Message::content_bytes).sum();
        let mut content = Content { bytes: Vec::with_capacity(bytes), names: Vec::new() };
        let mut headers = Vec::new();
        let mut records = Vec::with_capacity(batch.records.len());
        for record in &batch.records {
            for header in &record.headers {
                let name = content.name(&header.name)?;
                headers.push(PackedHeader { name, value: content.optional(&header.value)? });
            }
            records.push(PackedRecord {
                offset: record.offset,
                timestamp_ms: record.timestamp_ms,
                key: content.optional(&record.key)?,
                value: content.optional(&record.value)?,
                headers: u32::try_from(record.headers.len()).ok()?,
            });
        }
        Some(Self {
            topic: batch.topic.clone(),
            log_id: log_id(&batch.log_id).map(|_| batch.log_id.clone()),
            partition: batch.partition,
            group: batch.group.clone(),
            expected_position: batch.expected_position,
            start: batch.start,
            end: batch.end,
            attempt: batch.attempt,
            time_limit_ms: limit_ms(time_limit),
            content: content.bytes,
            headers,
            records,
        })
    }
}

/// The content that is being packed.
struct Content<'a> {
    bytes: Vec<u8>,
    /// Where names of headers are in the content. The engine shares a repeated name.
    names: Vec<(&'a Arc<str>, Part)>,
}

impl<'a> Content<'a> {
    fn add(&mut self, bytes: &[u8]) -> Option<Part> {
        let start = u32::try_from(self.bytes.len()).ok()?;
        let length = u32::try_from(bytes.len()).ok()?;
        start.checked_add(length)?;
        self.bytes.extend_from_slice(bytes);
        Some(Part { start, length })
    }

    /// The part for bytes that may be missing. The outer `None` means that there is no room.
    fn optional(&mut self, bytes: &Option<impl AsRef<[u8]>>) -> Option<Option<Part>> {
        match bytes {
            Some(bytes) => self.add(bytes.as_ref()).map(Some),
            None => Some(None),
        }
    }

    fn name(&mut self, name: &'a Arc<str>) -> Option<Part> {
        let known = self.names.iter().find(|(known, _)| Arc::ptr_eq(known, name));
        if let Some((_, part)) = known {
            return Some(*part);
        }
        let part = self.add(name.as_bytes())?;
        if self.names.len() < NAMES_MAX {
            self.names.push((name, part));
        }
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::events;

    fn bytes() -> impl Strategy<Value = Option<bytes::Bytes>> {
        prop::option::of(prop::collection::vec(any::<u8>(), 0..20).prop_map(Into::into))
    }

    fn header() -> impl Strategy<Value = engine::Header> {
        ("[a-c]{0,2}", bytes())
            .prop_map(|(name, value)| engine::Header { name: name.into(), value })
    }

    fn message() -> impl Strategy<Value = engine::Message> {
        let headers = prop::collection::vec(header(), 0..4);
        (any::<i64>(), any::<Option<i64>>(), bytes(), bytes(), headers).prop_map(
            |(offset, timestamp_ms, key, value, headers)| engine::Message {
                offset,
                timestamp_ms,
                key,
                value,
                headers,
            },
        )
    }

    fn batch(records: Vec<engine::Message>) -> engine::Batch {
        engine::Batch { records, ..events::tests::batch() }
    }

    /// The records that a component reads from a packed batch.
    fn unpack(batch: &PackedBatch) -> Vec<engine::Message> {
        let part = |part: &Part| {
            let (start, length) = (part.start as usize, part.length as usize);
            bytes::Bytes::copy_from_slice(&batch.content[start..start + length])
        };
        let mut headers = batch.headers.iter().map(|header| engine::Header {
            name: std::str::from_utf8(&part(&header.name)).unwrap().into(),
            value: header.value.as_ref().map(part),
        });
        let records = batch.records.iter().map(|message| engine::Message {
            offset: message.offset,
            timestamp_ms: message.timestamp_ms,
            key: message.key.as_ref().map(part),
            value: message.value.as_ref().map(part),
            headers: headers.by_ref().take(message.headers as usize).collect(),
        });
        let records = records.collect();
        assert!(headers.next().is_none(), "every header belongs to a message");
        records
    }

    proptest! {
        #[test]
        fn a_packed_batch_contains_the_same_records(
            records in prop::collection::vec(message(), 0..20),
        ) {
            let batch = batch(records);
            let packed = PackedBatch::new(&batch, Duration::MAX).unwrap();
            prop_assert_eq!(unpack(&packed), batch.records);
        }
    }

    #[test]
    fn the_offsets_and_the_source_are_passed_on() {
        let packed = PackedBatch::new(&batch(Vec::new()), Duration::from_secs(1)).unwrap();
        assert_eq!((&*packed.topic, packed.log_id.as_deref()), ("sales", Some("cluster/topic")));
        assert_eq!((packed.partition, &*packed.group), (3, "counters"));
        assert_eq!((packed.expected_position, packed.start, packed.end), (Some(3), 4, 9));
        assert_eq!((packed.attempt, packed.time_limit_ms), (2, 1_000));
    }

    #[test]
    fn a_shared_name_is_packed_once() {
        let name: Arc<str> = "idempotency-key".into();
        let header = engine::Header { name: name.clone(), value: Some("k".into()) };
        let message = |offset| engine::Message {
            offset,
            timestamp_ms: None,
            key: None,
            value: None,
            headers: vec![header.clone()],
        };
        let packed = PackedBatch::new(&batch(vec![message(4), message(5)]), Duration::MAX).unwrap();
        assert_eq!(packed.headers[0].name, packed.headers[1].name);
        assert_eq!(packed.content.len(), name.len() + 2);
    }
}
