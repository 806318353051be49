//! Copies records out of librdkafka's fetch buffer.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::slice;

use rdkafka::bindings as rd;
use rdkafka::message::BorrowedMessage;

use crate::{Header, Message};

/// Copies a record that `rdkafka` lends.
pub(crate) fn borrowed_message(record: &BorrowedMessage<'_>) -> Message {
    // SAFETY: the native message lives as long as it is lent; one with an error is never lent.
    unsafe { message(record.ptr()) }
}

/// Copies the record. The header functions of `rdkafka` are not used, because they panic on a name
/// that is not UTF-8.
///
/// # Safety
/// `record` must be a live message of a consumer that has no error.
pub(super) unsafe fn message(record: *const rd::rd_kafka_message_t) -> Message {
    // SAFETY: the message is live and has no error, by this function's contract.
    unsafe {
        Message {
            offset: (*record).offset,
            timestamp_ms: timestamp_ms(record),
            key: bytes((*record).key, (*record).key_len),
            value: bytes((*record).payload, (*record).len),
            headers: headers(record),
        }
    }
}

/// # Safety
/// `record` must be a live message.
unsafe fn timestamp_ms(record: *const rd::rd_kafka_message_t) -> Option<i64> {
    let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message is live; the call writes the kind.
    let timestamp = unsafe { rd::rd_kafka_message_timestamp(record, &mut kind) };
    let known = kind != rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    (known && timestamp >= 0).then_some(timestamp)
}

/// # Safety
/// `start` must be null or point to `length` live bytes.
unsafe fn bytes(start: *const c_void, length: usize) -> Option<Vec<u8>> {
    // SAFETY: not null, so it points to `length` live bytes by this function's contract.
    (!start.is_null())
        .then(|| unsafe { slice::from_raw_parts(start.cast::<u8>(), length) }.to_vec())
}

/// # Safety
/// `record` must be a live message.
unsafe fn headers(record: *const rd::rd_kafka_message_t) -> Vec<Header> {
    let mut list = ptr::null_mut();
    // SAFETY: the message is live; `list` is written before success is reported and stays
    // owned by the message.
    let code = unsafe { rd::rd_kafka_message_headers(record, &mut list) };
    if code != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Vec::new();
    }
    // SAFETY: `list` is the live message's header list.
    let count = unsafe { rd::rd_kafka_header_cnt(list) };
    // SAFETY: as above, and the index is below the count.
    (0..count).filter_map(|index| unsafe { header(list, index) }).collect()
}

/// # Safety
/// `list` must be a live header list that is not modified during the call.
unsafe fn header(list: *const rd::rd_kafka_headers_t, index: usize) -> Option<Header> {
    let mut name: *const c_char = ptr::null();
    let mut value: *const c_void = ptr::null();
    let mut length = 0;
    // SAFETY: the list is live by this function's contract; an index past its end is an error.
    let code =
        unsafe { rd::rd_kafka_header_get_all(list, index, &mut name, &mut value, &mut length) };
    if code != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return None;
    }
    // SAFETY: on success the name is a string that ends in NUL, and the value is null or has
    // `length` bytes; both live as long as the list.
    unsafe {
        let name = CStr::from_ptr(name).to_string_lossy().into_owned();
        Some(Header { name, value: bytes(value, length) })
    }
}
