//! What librdkafka can do and `rdkafka` does not offer. The crate's only unsafe code.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;

use crate::Header;

/// How much longer than the broker the caller waits, so that librdkafka's own error comes first.
const REPLY_SLACK: Duration = Duration::from_secs(1);
/// Room for an error text; librdkafka cuts what does not fit.
const ERROR_BYTES: usize = 256;

/// The record's headers. (`rdkafka`'s own reader panics on a name that is no UTF-8.)
pub(crate) fn headers(record: &BorrowedMessage<'_>) -> Vec<Header> {
    let mut list = ptr::null_mut();
    // SAFETY: the record is borrowed, so its native message lives; `list` is written before
    // success is reported and stays owned by the message.
    let code = unsafe { rd::rd_kafka_message_headers(record.ptr(), &mut list) };
    if code != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Vec::new();
    }
    // SAFETY: `list` is the live message's header list.
    let count = unsafe { rd::rd_kafka_header_cnt(list) };
    // SAFETY: as above, and the index is below the count.
    (0..count).filter_map(|index| unsafe { header(list, index) }).collect()
}

/// # Safety
/// `list` must be a live header list that nobody changes.
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
    // SAFETY: on success the name is a string that ends in NUL and lives as long as the list.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    // SAFETY: a value that is not null has `length` bytes and lives as long as the list.
    let value = (!value.is_null())
        .then(|| unsafe { slice::from_raw_parts(value.cast::<u8>(), length) }.to_vec());
    Some(Header { name, value })
}

/// The partition's lowest offset and high watermark as the last fetch told them; nothing is
/// asked. Negative: not known yet.
pub(crate) fn watermarks<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
) -> Option<(i64, i64)> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client lives as long as its borrow; the string outlives the call, which
    // writes the two numbers and keeps nothing.
    let code = unsafe {
        rd::rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            partition,
            &mut low,
            &mut high,
        )
    };
    (code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then_some((low, high))
}

/// Whether the client is a member of its consumer group.
pub(crate) fn is_member<C: ClientContext>(client: &Client<C>) -> bool {
    // SAFETY: the client lives as long as its borrow; the string it answers is ours to free.
    unsafe {
        let id = rd::rd_kafka_memberid(client.native_ptr());
        if id.is_null() {
            return false;
        }
        let joined = !CStr::from_ptr(id).is_empty();
        rd::rd_kafka_mem_free(client.native_ptr(), id.cast());
        joined
    }
}

/// Asks the cluster for the topic's id; none if its brokers give topics no ids.
/// Blocks for about `timeout` at most.
pub(crate) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> KafkaResult<Option<String>> {
    let event = describe(client, topic, timeout)?;
    // SAFETY: the event is live; the call only reads it.
    check(unsafe { rd::rd_kafka_event_error(event.ptr()) })?;
    // SAFETY: the event is live; what the result points to lives as long as it.
    let result = unsafe { rd::rd_kafka_event_DescribeTopics_result(event.ptr()) };
    if result.is_null() {
        return Err(KafkaError::AdminOp(RDKafkaErrorCode::InvalidType));
    }
    let mut count = 0;
    // SAFETY: the result is not null and live; `count` says how many entries the array has.
    let topics = unsafe { rd::rd_kafka_DescribeTopics_result_topics(result, &mut count) };
    if count == 0 || topics.is_null() {
        return Err(KafkaError::AdminOp(RDKafkaErrorCode::UnknownTopic));
    }
    // SAFETY: the array has at least one entry, and entries are never null.
    let description = unsafe { *topics };
    // SAFETY: the description lives as long as the event; its error is null or live as well.
    unsafe {
        let error = rd::rd_kafka_TopicDescription_error(description);
        if !error.is_null() {
            check(rd::rd_kafka_error_code(error))?;
        }
    }
    // SAFETY: the description lives as long as the event.
    Ok(unsafe { id(rd::rd_kafka_TopicDescription_topic_id(description)) })
}

/// # Safety
/// `uuid` must be null or live.
unsafe fn id(uuid: *const rd::rd_kafka_Uuid_t) -> Option<String> {
    if uuid.is_null() {
        return None;
    }
    // SAFETY: live by this function's contract; the text belongs to the id and is copied.
    unsafe {
        let zero = rd::rd_kafka_Uuid_most_significant_bits(uuid) == 0
            && rd::rd_kafka_Uuid_least_significant_bits(uuid) == 0;
        let text = rd::rd_kafka_Uuid_base64str(uuid);
        (!zero && !text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    }
}

/// Sends a DescribeTopics request for one topic and waits for the answer.
fn describe<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> KafkaResult<Owned<rd::rd_kafka_event_t>> {
    let native = client.native_ptr();
    let name = CString::new(topic).map_err(KafkaError::Nul)?;
    let mut names = [name.as_ptr()];
    // SAFETY: each constructor's object is paired with its destructor; the array and the
    // client outlive the call, which copies the names.
    let (topics, options, queue) = unsafe {
        (
            Owned::new(
                rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
                rd::rd_kafka_TopicCollection_destroy,
            )?,
            Owned::new(
                rd::rd_kafka_AdminOptions_new(
                    native,
                    rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
                ),
                rd::rd_kafka_AdminOptions_destroy,
            )?,
            Owned::new(rd::rd_kafka_queue_new(native), rd::rd_kafka_queue_destroy)?,
        )
    };
    let mut error: [c_char; ERROR_BYTES] = [0; ERROR_BYTES];
    // SAFETY: the options are live and the buffer is as long as said.
    check(unsafe {
        rd::rd_kafka_AdminOptions_set_request_timeout(
            options.ptr(),
            millis(timeout),
            error.as_mut_ptr(),
            error.len(),
        )
    })?;
    // SAFETY: every object is live; the answer comes as an event in the queue, which is owned
    // by whoever polls it.
    unsafe {
        rd::rd_kafka_DescribeTopics(native, topics.ptr(), options.ptr(), queue.ptr());
        let event = rd::rd_kafka_queue_poll(queue.ptr(), millis(timeout + REPLY_SLACK));
        Owned::new(event, rd::rd_kafka_event_destroy)
            .map_err(|_| KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn check(code: rd::rd_kafka_resp_err_t) -> KafkaResult<()> {
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(KafkaError::AdminOp(code)),
    }
}

/// A native object that is destroyed with its owner.
struct Owned<T> {
    object: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// # Safety
    /// `object` must be null or owned by the caller, and `destroy` its destructor.
    unsafe fn new(object: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> KafkaResult<Self> {
        match NonNull::new(object) {
            Some(object) => Ok(Self { object, destroy }),
            None => Err(KafkaError::AdminOpCreation("librdkafka is out of memory".into())),
        }
    }

    fn ptr(&self) -> *mut T {
        self.object.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: `new` was given an owned object and its destructor, and this runs once.
        unsafe { (self.destroy)(self.object.as_ptr()) }
    }
}
