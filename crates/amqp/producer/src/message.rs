//! Converts a record to a message.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use amqp_client::headers::{BYTES_MAX, IDEMPOTENCY_KEY, KEY, ROUTING};
use kafka_record::{Header, OutgoingRecord, ProduceError};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::config::NAME_BYTES_MAX;

/// The delivery mode of a message that survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// A record in AMQP's form.
pub(crate) struct Message {
    pub routing_key: ShortString,
    pub properties: BasicProperties,
    pub body: Vec<u8>,
    /// The size of the record.
    pub bytes: usize,
}

impl Message {
    /// Fails if a queue cannot contain the record.
    pub fn new(record: OutgoingRecord, record_bytes_max: usize) -> Result<Self, ProduceError> {
        let topic = record.topic.clone();
        let refused = |reason: &str| ProduceError::Refused(format!("topic `{topic}`: {reason}"));
        let too_large = |reason: &str| ProduceError::TooLarge(format!("topic `{topic}`: {reason}"));
        if topic.is_empty() || topic.len() > NAME_BYTES_MAX {
            return Err(refused("the name of a queue has between 1 and 255 bytes"));
        }
        if record.partition.is_some_and(|partition| partition != 0) {
            return Err(refused("a queue has only the partition 0"));
        }
        let Some(body) = record.value else {
            return Err(refused("a queue cannot contain a record without a value"));
        };
        let seconds = match record.timestamp_ms {
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            Some(ms @ 1..) => ms.unsigned_abs() / 1_000,
            Some(ms) => return Err(refused(&format!("the timestamp {ms} is not above 0"))),
        };
        let mut properties = Properties::new(record.key, seconds);
        for header in record.headers {
            properties.add(header).map_err(|reason| refused(&reason))?;
        }
        if properties.bytes > BYTES_MAX {
            return Err(too_large("the key and the headers are larger than 64 KiB"));
        }
        let bytes = properties.bytes.saturating_add(body.len());
        if bytes > record_bytes_max {
            return Err(too_large(&format!("the record is larger than {record_bytes_max} bytes")));
        }
        Ok(Self { routing_key: topic.into(), properties: properties.finish(), body, bytes })
    }
}

/// Collects the properties and headers of a message.
struct Properties {
    properties: BasicProperties,
    headers: FieldTable,
    /// The names of the record's headers, with those that are properties.
    names: BTreeSet<String>,
    /// Their size in a frame, at most.
    bytes: usize,
}

impl Properties {
    fn new(key: Option<Vec<u8>>, timestamp_s: u64) -> Self {
        let properties =
            BasicProperties::default().with_delivery_mode(PERSISTENT).with_timestamp(timestamp_s);
        let bytes = encoded_bytes(KEY, key.as_deref());
        let mut headers = FieldTable::default();
        headers.insert(KEY.into(), value(key));
        Self { properties, headers, names: BTreeSet::new(), bytes }
    }

    /// Adds a header of the record: as a property, if it is one that the consumer returns as a header
    /// of this name, or as a header. Fails with the reason.
    fn add(&mut self, Header { name, value: bytes }: Header) -> Result<(), String> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err("the name of a header has between 1 and 255 bytes".into());
        }
        if ROUTING.contains(&name.as_str()) || name == KEY {
            return Err(format!("RabbitMQ or the consumer interprets the header `{name}`"));
        }
        if !self.names.insert(name.clone()) {
            return Err(format!("a message cannot have the header `{name}` twice"));
        }
        self.bytes = self.bytes.saturating_add(encoded_bytes(&name, bytes.as_deref()));
        if let Some(text) = bytes.as_deref().and_then(short_text)
            && self.set_property(&name, text)
        {
            return Ok(());
        }
        self.headers.insert(name.into(), value(bytes));
        Ok(())
    }

    /// Sets the property of this name, if there is one.
    fn set_property(&mut self, name: &str, text: &str) -> bool {
        macro_rules! properties {
            ($($name:pat => $with:ident),* $(,)?) => {
                match name {
                    $($name => {
                        self.properties = std::mem::take(&mut self.properties).$with(text.into());
                        true
                    })*
                    _ => false,
                }
            };
        }
        properties! {
            IDEMPOTENCY_KEY => with_message_id,
            "correlation-id" => with_correlation_id,
            "content-type" => with_content_type,
            "content-encoding" => with_content_encoding,
            "reply-to" => with_reply_to,
            "type" => with_type,
            "app-id" => with_app_id,
        }
    }

    fn finish(self) -> BasicProperties {
        self.properties.with_headers(self.headers)
    }
}

/// The text, if a property can contain it and the consumer returns it.
fn short_text(bytes: &[u8]) -> Option<&str> {
    let fits = (1..=NAME_BYTES_MAX).contains(&bytes.len());
    std::str::from_utf8(bytes).ok().filter(|_| fits)
}

/// The size of a header in a frame: its name with the length, the type, and the value with its length.
fn encoded_bytes(name: &str, value: Option<&[u8]>) -> usize {
    (name.len() + 6).saturating_add(value.map_or(0, <[u8]>::len))
}

/// The value of a header.
fn value(bytes: Option<Vec<u8>>) -> AMQPValue {
    bytes.map_or(AMQPValue::Void, |bytes| AMQPValue::LongString(bytes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(headers: &[(&str, Option<&str>)]) -> OutgoingRecord {
        let header = |&(name, value): &(&str, Option<&str>)| Header {
            name: name.into(),
            value: value.map(Into::into),
        };
        OutgoingRecord {
            topic: "posts".into(),
            timestamp_ms: Some(12_999),
            key: Some(b"es".into()),
            value: Some(b"rain".into()),
            headers: headers.iter().map(header).collect(),
            ..OutgoingRecord::default()
        }
    }

    fn refusal(change: impl FnOnce(&mut OutgoingRecord)) -> String {
        let mut record = record(&[]);
        change(&mut record);
        Message::new(record, 1_000_000).err().unwrap().to_string()
    }

    #[test]
    fn key_and_headers_are_in_the_message_and_some_are_properties() {
        let record = record(&[
            ("idempotency-key", Some("post-1")),
            ("content-type", Some("application/json")),
            ("empty", Some("")),
            ("none", None),
        ]);
        let Message { routing_key, properties, body, .. } = Message::new(record, 1_000).unwrap();
        assert_eq!((routing_key.as_str(), body.as_slice()), ("posts", &b"rain"[..]));
        assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "post-1");
        assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/json");
        assert_eq!((properties.delivery_mode(), properties.timestamp()), (&Some(2), &Some(12)));
        let headers = properties.headers().as_ref().unwrap().inner();
        let text = |text: &str| Some(AMQPValue::LongString(text.into()));
        for (name, value) in [
            (KEY, text("es")),
            ("empty", text("")),
            ("none", Some(AMQPValue::Void)),
            ("idempotency-key", None),
        ] {
            assert_eq!(headers.get(name), value.as_ref(), "{name}");
        }
    }

    #[test]
    fn an_idempotency_key_that_is_too_long_for_a_message_id_is_a_header() {
        let key = "k".repeat(256);
        let message = Message::new(record(&[("idempotency-key", Some(&key))]), 1_000).unwrap();
        assert_eq!(message.properties.message_id(), &None);
        let headers = message.properties.headers().as_ref().unwrap().inner();
        assert_eq!(headers.get("idempotency-key"), Some(&AMQPValue::LongString(key.into())));
    }

    #[test]
    fn what_a_queue_cannot_contain_is_refused() {
        let header = |name: &str| Header { name: name.into(), value: Some(b"x".into()) };
        assert!(refusal(|r| r.topic.clear()).contains("between 1 and 255"));
        assert!(refusal(|r| r.topic = "t".repeat(256)).contains("between 1 and 255"));
        assert!(refusal(|r| r.partition = Some(1)).contains("only the partition 0"));
        assert!(refusal(|r| r.value = None).contains("without a value"));
        assert!(refusal(|r| r.timestamp_ms = Some(0)).contains("timestamp 0"));
        assert!(refusal(|r| r.headers = vec![header("CC")]).contains("`CC`"));
        for name in ["a", "idempotency-key", "content-type", "correlation-id"] {
            let twice = refusal(|r| r.headers = vec![header(name), header(name)]);
            assert!(twice.contains(&format!("`{name}` twice")), "{twice}");
        }
        let empty = |number: u32| Header { name: number.to_string(), value: None };
        assert!(refusal(|r| r.headers = (0..16_000).map(empty).collect()).contains("64 KiB"));
        assert!(refusal(|r| r.key = Some(vec![0; BYTES_MAX])).contains("64 KiB"));
        assert!(refusal(|r| r.value = Some(vec![0; 1_000_000])).contains("1000000 bytes"));
    }
}
