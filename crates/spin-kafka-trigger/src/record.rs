//! From librdkafka's record to ours.

use rdkafka::Message as _;
use rdkafka::message::BorrowedMessage;

use crate::{Message, native};

/// Copies a record out of librdkafka's fetch buffer.
pub(crate) fn message(record: &BorrowedMessage<'_>) -> Message {
    Message {
        offset: record.offset(),
        timestamp_ms: record.timestamp().to_millis(),
        key: record.key().map(<[u8]>::to_vec),
        value: record.payload().map(<[u8]>::to_vec),
        headers: native::headers(record),
    }
}
