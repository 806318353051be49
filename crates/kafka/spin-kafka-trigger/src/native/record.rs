//! Records in librdkafka's fetch buffer.

use std::borrow::Cow;
use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::slice;

use rdkafka::bindings as rd;
use rdkafka::message::BorrowedMessage;

use crate::content::ContentBuffer;
use crate::filter::Filtered;
use crate::{Header, Message};

/// A record in librdkafka's fetch buffer. Its parts are borrowed from the buffer. The header
/// functions of `rdkafka` are not used, because they panic on a name that is not UTF-8.
pub(crate) struct FetchedRecord<'a> {
    /// A message of a consumer that has no error and lives for `'a`.
    native: *const rd::rd_kafka_message_t,
    buffer: PhantomData<&'a rd::rd_kafka_message_t>,
}

impl<'a> From<&'a BorrowedMessage<'_>> for FetchedRecord<'a> {
    fn from(record: &'a BorrowedMessage<'_>) -> Self {
        // SAFETY: the native message lives as long as it is borrowed; `rdkafka` does not return one
        // with an error.
        unsafe { Self::new(record.ptr()) }
    }
}

impl<'a> FetchedRecord<'a> {
    /// # Safety
    /// `native` must be a message of a consumer that has no error and lives for `'a`.
    pub(super) unsafe fn new(native: *const rd::rd_kafka_message_t) -> Self {
        Self { native, buffer: PhantomData }
    }

    pub fn offset(&self) -> i64 {
        // SAFETY: the message is live by the contract of `new`.
        unsafe { (*self.native).offset }
    }

    fn key(&self) -> Option<&'a [u8]> {
        // SAFETY: the message is live; a key that is not null has `key_len` bytes.
        unsafe { bytes((*self.native).key, (*self.native).key_len) }
    }

    fn value(&self) -> Option<&'a [u8]> {
        // SAFETY: the message is live; a value that is not null has `len` bytes.
        unsafe { bytes((*self.native).payload, (*self.native).len) }
    }

    fn timestamp_ms(&self) -> Option<i64> {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is live; the call writes the kind.
        let timestamp = unsafe { rd::rd_kafka_message_timestamp(self.native, &mut kind) };
        let known = kind != rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        (known && timestamp >= 0).then_some(timestamp)
    }

    /// The names and values of the headers. In a name, bytes that are not UTF-8 are replaced.
    fn headers(&self) -> impl Iterator<Item = (Cow<'a, str>, Option<&'a [u8]>)> {
        let mut list = ptr::null_mut();
        // SAFETY: the message is live; `list` is written before success is reported and stays
        // owned by the message.
        let code = unsafe { rd::rd_kafka_message_headers(self.native, &mut list) };
        let count = if code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            // SAFETY: `list` is the live message's header list.
            unsafe { rd::rd_kafka_header_cnt(list) }
        } else {
            0
        };
        // SAFETY: the list is live for `'a` and is not modified.
        (0..count).filter_map(move |index| unsafe { header(list, index) })
    }

    /// Copies the record.
    pub fn to_message(&self, buffer: &mut ContentBuffer) -> Message {
        Message {
            offset: self.offset(),
            timestamp_ms: self.timestamp_ms(),
            key: self.key().map(|key| buffer.copy(key)),
            value: self.value().map(|value| buffer.copy(value)),
            headers: self
                .headers()
                .map(|(name, value)| Header {
                    name: buffer.name(&name),
                    value: value.map(|value| buffer.copy(value)),
                })
                .collect(),
        }
    }
}

impl Filtered for FetchedRecord<'_> {
    fn key(&self) -> Option<&[u8]> {
        self.key()
    }

    #[cfg(feature = "filters")]
    fn value(&self) -> Option<&[u8]> {
        self.value()
    }

    fn has_header(&self, name: &str, condition: impl Fn(&[u8]) -> bool) -> bool {
        self.headers().any(|(found, value)| found == name && value.is_some_and(&condition))
    }
}

/// # Safety
/// `start` must be null or point to `length` bytes that live for `'a`.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: not null, so it points to `length` live bytes by this function's contract.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast::<u8>(), length) })
}

/// # Safety
/// `list` must be a header list that lives for `'a` and is not modified in that time.
unsafe fn header<'a>(
    list: *const rd::rd_kafka_headers_t,
    index: usize,
) -> Option<(Cow<'a, str>, Option<&'a [u8]>)> {
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
    unsafe { Some((CStr::from_ptr(name).to_string_lossy(), bytes(value, length))) }
}

#[cfg(test)]
#[cfg(feature = "filters")]
mod tests {
    use std::time::Duration;

    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::message::OwnedHeaders;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    use rdkafka::{ClientConfig, Offset, TopicPartitionList};

    use super::*;
    use crate::filter::pass;

    #[test]
    fn filters_have_the_same_result_for_a_fetched_record_and_its_copy() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("sales", 1, 1).unwrap();
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "group");
        let producer: BaseProducer = client.create().unwrap();
        let header = |value| rdkafka::message::Header { key: "kind", value };
        let headers = OwnedHeaders::new().insert(header(None::<&str>)).insert(header(Some("sale")));
        let record = BaseRecord::to("sales").key("tv-42").payload(r#"{"categoria":7}"#);
        producer.send(record.headers(headers)).map_err(|(error, _)| error).unwrap();
        producer.flush(Duration::from_secs(30)).unwrap();

        let consumer: BaseConsumer = client.create().unwrap();
        let mut assigned = TopicPartitionList::new();
        assigned.add_partition_offset("sales", 0, Offset::Beginning).unwrap();
        consumer.assign(&assigned).unwrap();
        let record = loop {
            if let Some(Ok(record)) = consumer.poll(Duration::from_secs(30)) {
                break record;
            }
        };
        let fetched = FetchedRecord::from(&record);
        let copy = fetched.to_message(&mut ContentBuffer::default());
        assert_eq!((copy.offset, copy.key.as_deref()), (0, Some(&b"tv-42"[..])));
        assert_eq!(copy.headers.len(), 2);
        assert_eq!((copy.headers[0].value.as_deref(), &*copy.headers[1].name), (None, "kind"));
        for (filter, expected) in [
            ("on='key'\nprefix='tv-'", true),
            ("on='key'\nequals='tv-'", false),
            ("on='header:kind'\nequals='sale'", true),
            ("on='header:kind'\nequals=''", false),
            ("on='header:other'\nprefix=''", false),
            ("on='json:/categoria'\nequals='7'", true),
            ("on='json:/categoria'\nequals='8'", false),
        ] {
            let filters = [toml::from_str(filter).unwrap()];
            assert_eq!(pass(&filters, &fetched), expected, "{filter}");
            assert_eq!(pass(&filters, &copy), expected, "{filter}");
        }
    }
}
