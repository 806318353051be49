//! Requests of librdkafka's admin API.

use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::Owned;

/// How much longer than the broker's timeout the caller waits, so that the error comes from
/// librdkafka.
const REPLY_SLACK: Duration = Duration::from_secs(1);
/// Size of the buffer for an error text; librdkafka truncates a longer text.
const ERROR_BYTES: usize = 256;

/// Requests the topic's id from this broker, or from any broker if none is given. Returns `None` if
/// the brokers do not support topic ids. Blocks for at most about `timeout`.
pub(crate) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    broker: Option<i32>,
    timeout: Duration,
) -> KafkaResult<Option<String>> {
    let event = describe(client, topic, broker, timeout)?;
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
        check_error(rd::rd_kafka_TopicDescription_error(description))?;
        Ok(id(rd::rd_kafka_TopicDescription_topic_id(description)))
    }
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
    broker: Option<i32>,
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
    let (text, length) = (error.as_mut_ptr(), error.len());
    // SAFETY: the options are live and the buffer has the given length.
    check(unsafe {
        rd::rd_kafka_AdminOptions_set_request_timeout(options.ptr(), millis(timeout), text, length)
    })?;
    if let Some(broker) = broker {
        // SAFETY: as above.
        check(unsafe {
            rd::rd_kafka_AdminOptions_set_broker(options.ptr(), broker, text, length)
        })?;
    }
    // SAFETY: every object is live; the answer comes as an event in the queue, which is owned
    // by this function once polled.
    let event = unsafe {
        rd::rd_kafka_DescribeTopics(native, topics.ptr(), options.ptr(), queue.ptr());
        let event = rd::rd_kafka_queue_poll(queue.ptr(), millis(timeout + REPLY_SLACK));
        Owned::new(event, rd::rd_kafka_event_destroy)
            .map_err(|_| KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))?
    };
    // SAFETY: the event is live; the call only reads it.
    check(unsafe { rd::rd_kafka_event_error(event.ptr()) })?;
    Ok(event)
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// # Safety
/// `error` must be null or live.
unsafe fn check_error(error: *const rd::rd_kafka_error_t) -> KafkaResult<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: live by this function's contract.
    check(unsafe { rd::rd_kafka_error_code(error) })
}

fn check(code: rd::rd_kafka_resp_err_t) -> KafkaResult<()> {
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(KafkaError::AdminOp(code)),
    }
}
