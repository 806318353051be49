//! A record in librdkafka's form.

use kafka_record::Header;
use rdkafka::message::{Header as NativeHeader, OwnedHeaders};

/// The headers as librdkafka's type; `None` if there are none.
pub fn native_headers(headers: &[Header]) -> Option<OwnedHeaders> {
    if headers.is_empty() {
        return None;
    }
    let native = OwnedHeaders::new_with_capacity(headers.len());
    Some(headers.iter().fold(native, |native, Header { name, value }| {
        native.insert(NativeHeader { key: name, value: value.as_deref() })
    }))
}
