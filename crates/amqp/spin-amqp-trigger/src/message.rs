//! Converts a delivery to a record.

use std::sync::Arc;

use amqp_client::headers::{IDEMPOTENCY_KEY, KEY};
use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::AMQPValue;
use spin_kafka_trigger::{Header, Message};

/// The record of a delivery: the body is the value. The key is that of the record that was published,
/// or the routing key, if the message was not published by the producer. Properties of the message
/// are headers, unless it has a header of the same name. The message id is the idempotency key, too.
pub(crate) fn record(number: i64, delivery: &mut Delivery) -> Message {
    let properties = &delivery.properties;
    let mut headers = headers(properties);
    let key = match headers.iter().position(|header| &*header.name == KEY) {
        Some(at) => headers.remove(at).value,
        None => Some(Bytes::copy_from_slice(delivery.routing_key.as_str().as_bytes())),
    };
    for (name, value) in [
        (IDEMPOTENCY_KEY, properties.message_id()),
        ("message-id", properties.message_id()),
        ("correlation-id", properties.correlation_id()),
        ("content-type", properties.content_type()),
        ("content-encoding", properties.content_encoding()),
        ("reply-to", properties.reply_to()),
        ("type", properties.kind()),
        ("app-id", properties.app_id()),
    ] {
        let value = value.as_ref().map(|value| value.as_str()).filter(|value| !value.is_empty());
        if let Some(value) = value
            && !headers.iter().any(|header| &*header.name == name)
        {
            let value = Some(Bytes::copy_from_slice(value.as_bytes()));
            headers.push(Header { name: name.into(), value });
        }
    }
    // The property has seconds.
    let timestamp = properties.timestamp().and_then(|seconds| i64::try_from(seconds).ok());
    Message {
        offset: number,
        timestamp_ms: timestamp.and_then(|seconds| seconds.checked_mul(1_000)),
        key,
        value: Some(std::mem::take(&mut delivery.data).into()),
        headers,
    }
}

/// The headers with a single value. Lists and tables, such as `x-death`, are left out.
fn headers(properties: &BasicProperties) -> Vec<Header> {
    let Some(table) = properties.headers() else { return Vec::new() };
    let headers = table.inner().iter().filter_map(|(name, value)| {
        Some(Header { name: Arc::from(name.as_str()), value: text(value)? })
    });
    headers.collect()
}

/// The bytes of a value: those of a text or of an array of bytes, and the text of another value.
/// The inner `None` is the value without content. The outer one is a list or a table.
fn text(value: &AMQPValue) -> Option<Option<Bytes>> {
    let text = match value {
        AMQPValue::LongString(text) => return Some(Some(Bytes::copy_from_slice(text.as_bytes()))),
        AMQPValue::ByteArray(bytes) => {
            return Some(Some(Bytes::copy_from_slice(bytes.as_slice())));
        }
        AMQPValue::Void => return Some(None),
        AMQPValue::ShortString(text) => text.to_string(),
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::ShortShortInt(value) => value.to_string(),
        AMQPValue::ShortShortUInt(value) => value.to_string(),
        AMQPValue::ShortInt(value) => value.to_string(),
        AMQPValue::ShortUInt(value) => value.to_string(),
        AMQPValue::LongInt(value) => value.to_string(),
        AMQPValue::LongUInt(value) => value.to_string(),
        AMQPValue::LongLongInt(value) => value.to_string(),
        AMQPValue::Timestamp(value) => value.to_string(),
        AMQPValue::Float(value) => value.to_string(),
        AMQPValue::Double(value) => value.to_string(),
        AMQPValue::DecimalValue(_) | AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) => {
            return None;
        }
    };
    Some(Some(text.into()))
}

#[cfg(test)]
mod tests {
    use lapin::types::{FieldArray, FieldTable};

    use super::*;

    fn delivery(properties: BasicProperties) -> Delivery {
        let mut delivery = Delivery::mock(7, "posts".into(), "es.rain".into(), false, b"x".into());
        delivery.properties = properties;
        delivery
    }

    fn header<'a>(record: &'a Message, name: &str) -> Option<&'a [u8]> {
        let mut found = record.headers.iter().filter(|header| &*header.name == name);
        let header = found.next();
        assert!(found.next().is_none(), "{name} occurs twice");
        header.and_then(|header| header.value.as_deref())
    }

    #[test]
    fn properties_and_headers_are_headers_of_the_record() {
        let mut table = FieldTable::default();
        table.insert("country".into(), AMQPValue::LongString("es".into()));
        table.insert("count".into(), AMQPValue::LongLongInt(-3));
        table.insert("content-type".into(), AMQPValue::LongString("text/csv".into()));
        table.insert("x-death".into(), AMQPValue::FieldArray(FieldArray::default()));
        let properties = BasicProperties::default()
            .with_headers(table)
            .with_content_type("application/json".into())
            .with_message_id("m1".into())
            .with_timestamp(12);
        let record = record(7, &mut delivery(properties));
        assert_eq!((record.offset, record.timestamp_ms), (7, Some(12_000)));
        assert_eq!(record.key.as_deref(), Some(&b"es.rain"[..]));
        assert_eq!(record.value.as_deref(), Some(&b"x"[..]));
        for (name, value) in [
            ("country", Some(&b"es"[..])),
            ("count", Some(b"-3")),
            ("content-type", Some(b"text/csv")),
            ("message-id", Some(b"m1")),
            ("idempotency-key", Some(b"m1")),
            ("x-death", None),
        ] {
            assert_eq!(header(&record, name), value, "{name}");
        }
    }

    #[test]
    fn the_key_of_a_record_that_was_published_is_kept() {
        let key = |value: AMQPValue| {
            let mut table = FieldTable::default();
            table.insert(KEY.into(), value);
            let record = record(1, &mut delivery(BasicProperties::default().with_headers(table)));
            assert_eq!(header(&record, KEY), None);
            record.key
        };
        let bytes = &b"\xffkey"[..];
        assert_eq!(key(AMQPValue::LongString(bytes.into())).as_deref(), Some(bytes));
        assert_eq!(key(AMQPValue::Void), None);
    }

    #[test]
    fn a_message_without_an_id_has_no_idempotency_key() {
        for id in [None, Some("")] {
            let mut properties = BasicProperties::default();
            if let Some(id) = id {
                properties = properties.with_message_id(id.into());
            }
            let record = record(1, &mut delivery(properties));
            assert_eq!(header(&record, "idempotency-key"), None);
            assert_eq!(record.timestamp_ms, None);
        }
    }
}
