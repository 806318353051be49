//! A test guest for version 0.1.0 of `spin-kafka:events`, which the host still supports. It sends
//! each value to the topic that is the record's key, and rejects the record with a description of
//! the batch and of the result.

use bindings::exports::spin_kafka::events::packed_handler::PackedBatch;
use bindings::exports::spin_kafka::events::{checkpoint, handler, packed_handler};
use bindings::spin_kafka::events::producer::{self, Outgoing};
use bindings::spin_kafka::events::types::{Batch, Failure, Header, Rejection};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:older-events/component",
        path: ["../../../wit/spin-kafka-events-0.1", "world.wit"],
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::OlderEvents;
    export!(OlderEvents);
}

struct OlderEvents;

impl handler::Guest for OlderEvents {
    async fn handle(batch: Batch) -> Result<Vec<Rejection>, Failure> {
        let Batch { topic, log_id, partition, first, start, end, messages } = batch;
        let place = format!("lists of {topic} {log_id} {partition} {first} {start}..{end}");
        let mut rejections = Vec::new();
        for message in messages {
            let sent = send(message.key.unwrap_or_default(), message.value).await;
            let reason = format!("{place}: {sent}");
            rejections.push(Rejection { offset: message.offset, reason });
        }
        Ok(rejections)
    }
}

impl packed_handler::Guest for OlderEvents {
    async fn handle(batch: PackedBatch) -> Result<Vec<Rejection>, Failure> {
        let PackedBatch { topic, log_id, partition, first, start, end, .. } = &batch;
        let place = format!("packed of {topic} {log_id} {partition} {first} {start}..{end}");
        let part = |part: packed_handler::Part| {
            let content = batch.content.get(part.start as usize..)?;
            content.get(..part.length as usize).map(<[u8]>::to_vec)
        };
        let mut rejections = Vec::new();
        for message in &batch.messages {
            let key = message.key.and_then(part).unwrap_or_default();
            let sent = send(key, message.value.and_then(part)).await;
            let reason = format!("{place}: {sent}");
            rejections.push(Rejection { offset: message.offset, reason });
        }
        Ok(rejections)
    }
}

impl checkpoint::Guest for OlderEvents {
    async fn position(
        topic: String,
        log_id: String,
        partition: i32,
    ) -> Result<Option<i64>, Failure> {
        Err(Failure::Retry(format!("position of {topic} {log_id} {partition}")))
    }
}

/// Sends a value with a header. Returns a description of the result.
async fn send(topic: Vec<u8>, value: Option<Vec<u8>>) -> String {
    let topic = String::from_utf8_lossy(&topic).into_owned();
    let headers = vec![Header { name: "from".into(), value: Some(b"older".to_vec()) }];
    let record = Outgoing { topic, key: Some(b"k".to_vec()), value, headers };
    format!("{:?}", producer::send(vec![record]).await)
}
