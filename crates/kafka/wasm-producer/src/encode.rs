//! Encodes record batches in format 2, which all brokers since 0.11 accept.
//!
//! `kafka-protocol`'s own encoder stores headers in a map, so it loses one of two headers with the
//! same name.

use bytes::{BufMut as _, Bytes};
use crc32c::crc32c;

use crate::OutgoingRecord;
use crate::compress::compress;
use crate::record::bytes_max;
use crate::sequence::Sequence;
use crate::{Compression, Header};

const MAGIC: i8 = 2;

/// Length of the part of a batch's header that the checksum covers: from after the checksum to the
/// records.
const CHECKED_HEAD: usize = 40;

/// Length of a batch's header in bytes.
pub const BATCH_OVERHEAD: usize = 61;

/// One record of a batch.
pub struct Entry<'a> {
    pub record: &'a OutgoingRecord,
    pub timestamp_ms: i64,
}

/// A batch of `count` records.
pub fn batch<'a>(
    entries: impl Iterator<Item = Entry<'a>> + Clone,
    count: i32,
    sequence: Sequence,
    compression: Compression,
) -> Bytes {
    let times = entries.clone().map(|entry| entry.timestamp_ms);
    let first_ms = times.clone().next().unwrap_or_default();
    let last_ms = times.max().unwrap_or_default();
    let mut records = Vec::with_capacity(entries.clone().map(|e| bytes_max(e.record)).sum());
    for (offset, entry) in (0..).zip(entries) {
        put_record(&mut records, offset, entry.timestamp_ms - first_ms, entry.record);
    }
    let (records, codec) = compress(&records, compression);

    let mut checked = Vec::with_capacity(CHECKED_HEAD + records.len());
    checked.put_i16(codec);
    checked.put_i32(count - 1);
    checked.put_i64(first_ms);
    checked.put_i64(last_ms);
    checked.put_i64(sequence.producer.id);
    checked.put_i16(sequence.producer.epoch);
    checked.put_i32(sequence.next);
    checked.put_i32(count);
    checked.put_slice(&records);

    let mut batch = Vec::with_capacity(BATCH_OVERHEAD + records.len());
    batch.put_i64(0);
    batch.put_i32(length(&checked).saturating_add(9));
    batch.put_i32(-1);
    batch.put_i8(MAGIC);
    batch.put_u32(crc32c(&checked));
    batch.put_slice(&checked);
    batch.into()
}

fn put_record(batch: &mut Vec<u8>, offset: i64, time: i64, record: &OutgoingRecord) {
    let mut body = Vec::with_capacity(bytes_max(record));
    body.put_i8(0);
    put_varint(&mut body, time);
    put_varint(&mut body, offset);
    put_bytes(&mut body, record.key.as_deref());
    put_bytes(&mut body, record.value.as_deref());
    put_varint(&mut body, record.headers.len() as i64);
    for Header { name, value } in &record.headers {
        put_bytes(&mut body, Some(name.as_bytes()));
        put_bytes(&mut body, value.as_deref());
    }
    put_varint(batch, i64::from(length(&body)));
    batch.put_slice(&body);
}

/// Writes the length and the bytes; null has the length -1.
fn put_bytes(to: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varint(to, bytes.map_or(-1, |bytes| i64::from(length(bytes))));
    to.put_slice(bytes.unwrap_or_default());
}

/// The conversion does not truncate: larger records are refused before.
fn length(bytes: &[u8]) -> i32 {
    i32::try_from(bytes.len()).unwrap_or(i32::MAX)
}

/// Writes a varint with zigzag encoding: seven bits per byte, lowest bits first, sign in the lowest
/// bit.
fn put_varint(to: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest > 0x7f {
        to.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    to.put_u8(rest as u8);
}

#[cfg(test)]
mod tests {
    use kafka_protocol::records::RecordBatchDecoder;
    use proptest::prelude::*;

    use super::*;
    use crate::sequence::ProducerId;

    fn record() -> impl Strategy<Value = (OutgoingRecord, i64)> {
        let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200));
        let header = (".{0,9}", bytes()).prop_map(|(name, value)| Header { name, value });
        let headers = proptest::collection::vec(header, 0..4);
        (bytes(), bytes(), headers, 0..1_i64 << 45).prop_map(|(key, value, headers, time)| {
            (
                OutgoingRecord {
                    topic: "t".into(),
                    key,
                    value,
                    headers,
                    ..OutgoingRecord::default()
                },
                time,
            )
        })
    }

    proptest! {
        #[test]
        fn an_independent_decoder_reads_every_batch(
            records in proptest::collection::vec(record(), 1..20),
        ) {
            let sequence = Sequence { producer: ProducerId { id: 4_000, epoch: 3 }, next: 17 };
            let entries = records
                .iter()
                .map(|(record, timestamp_ms)| Entry { record, timestamp_ms: *timestamp_ms });
            let bound: usize = records.iter().map(|(record, _)| bytes_max(record)).sum();
            let count = records.len() as i32;
            let mut bytes = batch(entries, count, sequence, Compression::None);
            prop_assert!(bytes.len() <= bound + BATCH_OVERHEAD);
            let read = RecordBatchDecoder::decode(&mut bytes).unwrap();
            prop_assert_eq!(read.records.len(), records.len());
            for ((sent, time), read) in records.iter().zip(&read.records) {
                prop_assert_eq!(sent.key.as_deref(), read.key.as_deref());
                prop_assert_eq!(sent.value.as_deref(), read.value.as_deref());
                prop_assert_eq!(*time, read.timestamp);
                prop_assert_eq!((read.producer_id, read.producer_epoch), (4_000, 3));
                for header in &sent.headers {
                    prop_assert!(read.headers.keys().any(|name| name.as_str() == header.name));
                }
            }
            prop_assert_eq!(read.records[0].sequence, 17);
        }
    }
}
