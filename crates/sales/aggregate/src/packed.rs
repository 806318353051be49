//! Batches whose bytes are in one list, as in `spin-kafka:events/packed-handler`.

use crate::Record;

/// Name of the record header that identifies retries of the same request.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A part of the content: `length` bytes from `start`.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Index of the first byte.
    pub start: u32,
    /// Number of bytes.
    pub length: u32,
}

/// A header of a record.
#[derive(Debug, Clone, Copy)]
pub struct PackedHeader {
    /// Its name.
    pub name: Part,
    /// Its value; None for Kafka's null.
    pub value: Option<Part>,
}

/// A record.
#[derive(Debug, Clone, Copy)]
pub struct PackedRecord {
    /// Its offset.
    pub offset: i64,
    /// When it was written, in milliseconds since 1970; None if the record has no timestamp.
    pub timestamp_ms: Option<i64>,
    /// Its value; None for a tombstone.
    pub value: Option<Part>,
    /// The number of its headers, which follow those of the previous record.
    pub headers: u32,
}

/// The records of a batch. None if a part does not lie within the content or a header is missing.
/// The host broke the rules of the interface then: the records are not at fault.
pub fn unpack(
    content: &[u8],
    headers: impl IntoIterator<Item = PackedHeader>,
    records: impl IntoIterator<Item = PackedRecord>,
) -> Option<Vec<Record<'_>>> {
    let part = |part: Part| content.get(part.start as usize..)?.get(..part.length as usize);
    // The outer None means that a part is missing.
    let optional = |value: Option<Part>| value.map_or(Some(None), |value| part(value).map(Some));
    let mut headers = headers.into_iter();
    let record = |packed: PackedRecord| {
        let mut key = None;
        for _ in 0..packed.headers {
            let header = headers.next()?;
            if key.is_none() && part(header.name)? == IDEMPOTENCY_KEY.as_bytes() {
                key = Some(optional(header.value)?);
            }
        }
        Some(Record {
            offset: packed.offset,
            timestamp_ms: packed.timestamp_ms,
            idempotency_key: key.flatten(),
            value: optional(packed.value)?,
        })
    };
    records.into_iter().map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &[u8] = b"idempotency-keyabtrace";
    const NAME: Part = Part { start: 0, length: 15 };
    const A: Part = Part { start: 15, length: 1 };
    const B: Part = Part { start: 16, length: 1 };
    const OTHER: Part = Part { start: 17, length: 5 };

    fn header(name: Part, value: Option<Part>) -> PackedHeader {
        PackedHeader { name, value }
    }

    fn packed(offset: i64, value: Option<Part>, headers: u32) -> PackedRecord {
        PackedRecord { offset, timestamp_ms: Some(7), value, headers }
    }

    #[test]
    fn each_record_has_its_own_headers_and_the_first_key_counts() {
        let headers = [
            header(OTHER, Some(B)),
            header(NAME, Some(A)),
            header(NAME, Some(B)),
            header(NAME, Some(B)),
            header(NAME, None),
            header(NAME, Some(A)),
        ];
        let records = [
            packed(3, Some(A), 3),
            packed(4, None, 0),
            packed(6, Some(B), 1),
            packed(7, Some(Part { start: 22, length: 0 }), 2),
        ];
        let records = unpack(CONTENT, headers, records).unwrap();
        let found: Vec<_> = records
            .iter()
            .map(|r| (r.offset, r.timestamp_ms, r.idempotency_key, r.value))
            .collect();
        assert_eq!(
            found,
            [
                (3, Some(7), Some(&b"a"[..]), Some(&b"a"[..])),
                (4, Some(7), None, None),
                (6, Some(7), Some(b"b"), Some(b"b")),
                (7, Some(7), None, Some(b"")),
            ]
        );
    }

    #[test]
    fn a_batch_that_lacks_a_part_is_refused() {
        let outside = [
            Part { start: 21, length: 2 },
            Part { start: 23, length: 0 },
            Part { start: u32::MAX, length: u32::MAX },
            Part { start: 1, length: u32::MAX },
        ];
        for part in outside {
            assert!(unpack(CONTENT, [], [packed(0, Some(part), 0)]).is_none(), "{part:?}");
            let (name, value) = (header(part, None), header(NAME, Some(part)));
            assert!(unpack(CONTENT, [name], [packed(0, None, 1)]).is_none(), "{part:?}");
            assert!(unpack(CONTENT, [value], [packed(0, None, 1)]).is_none(), "{part:?}");
        }
    }

    #[test]
    fn a_batch_that_lacks_a_header_is_refused() {
        for headers in [2, u32::MAX] {
            let records = [packed(0, None, headers)];
            assert!(unpack(CONTENT, [header(NAME, Some(A))], records).is_none(), "{headers}");
        }
    }
}
