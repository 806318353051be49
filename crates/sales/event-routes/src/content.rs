//! What an event consists of.

use bytes::Bytes;
use sale::Violation;

use crate::cloud_event::CloudEvent;
use crate::key::{Json, KeySource};

/// What an event consists of.
pub struct Content {
    /// The value of the record.
    pub value: Bytes,
    /// The same as JSON.
    pub json: Json,
    /// The CloudEvent whose data it is.
    pub cloud_event: Option<CloudEvent>,
}

impl Content {
    /// The data of a CloudEvent.
    pub fn of_cloud_event(event: CloudEvent) -> Result<Self, Violation> {
        let json = event.json()?.map_or(Json::None, Json::Any);
        Ok(Self { value: event.data.clone(), json, cloud_event: Some(event) })
    }

    /// The attributes of a CloudEvent, as headers of the record.
    pub fn attributes(&self) -> Vec<(String, Vec<u8>)> {
        self.cloud_event.as_ref().map(CloudEvent::record_headers).unwrap_or_default()
    }

    /// What an idempotency key belongs to.
    ///
    /// If the fields are typed, it is the value alone, unless the key of the record is not a part of
    /// it. The component `writer` claims the same for a sale.
    pub fn claimed(&self, source: Option<&KeySource>, key: Option<&[u8]>) -> Vec<u8> {
        match (&self.json, source) {
            (Json::Typed { .. }, None | Some(KeySource::Pointer(_))) => self.value.to_vec(),
            _ => self.with_key(key),
        }
    }

    /// The key of the record, the attributes of a CloudEvent, and the value. Each part follows its
    /// length, so that different contents differ in bytes.
    fn with_key(&self, key: Option<&[u8]>) -> Vec<u8> {
        let mut content = vec![u8::from(key.is_some())];
        let mut push = |part: &[u8]| {
            content.extend((part.len() as u64).to_be_bytes());
            content.extend_from_slice(part);
        };
        push(key.unwrap_or_default());
        for (name, text) in self.attributes() {
            push(name.as_bytes());
            push(&text);
        }
        push(&self.value);
        content
    }
}
