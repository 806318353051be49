//! A test guest whose exports are synchronous, like those of components in languages that cannot
//! export asynchronous functions. It does what the record's value selects.

use bindings::exports::spin_kafka::events::{
    sync_checkpoint, sync_handler, sync_transform_handler,
};
use bindings::spin_kafka::events::sync_producer;
use bindings::spin_kafka::events::types::{Batch, Failure, Outgoing, Record, Rejection};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:sync-events/component",
        path: ["../../../wit/spin-kafka-events", "world.wit"],
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::SyncEvents;
    export!(SyncEvents);
}

struct SyncEvents;

impl sync_handler::Guest for SyncEvents {
    fn handle(batch: Batch) -> Result<Vec<Rejection>, Failure> {
        let mut rejections = Vec::new();
        for record in &batch.records {
            let reason = match record.value.as_deref() {
                Some(b"trap") => trap(),
                Some(b"loop") => spin(),
                Some(b"retry") => return Err(Failure::Retry("as requested".into())),
                Some(b"send") => send(record),
                _ => describe(&batch),
            };
            rejections.push(Rejection { offset: record.offset, reason });
        }
        Ok(rejections)
    }
}

impl sync_checkpoint::Guest for SyncEvents {
    fn position(
        group: String,
        topic: String,
        log_id: Option<String>,
        partition: i32,
    ) -> Result<Option<i64>, Failure> {
        Err(Failure::Retry(format!("position of {group} {topic} {log_id:?} {partition}")))
    }
}

impl sync_transform_handler::Guest for SyncEvents {
    /// Returns a copy of each record for the topic `copies`, and rejects records without a key.
    fn transform(batch: Batch) -> Result<sync_transform_handler::Answer, Failure> {
        let (mut rejections, mut records) = (Vec::new(), Vec::new());
        for record in batch.records {
            match record.value.as_deref() {
                Some(b"retry") => return Err(Failure::Retry("as requested".into())),
                _ if record.key.is_none() => {
                    rejections.push(Rejection { offset: record.offset, reason: "no key".into() });
                }
                _ => records.push(Outgoing {
                    topic: "copies".into(),
                    partition: Some(batch.partition),
                    timestamp_ms: Some(1),
                    key: record.key,
                    value: record.value,
                    headers: record.headers,
                }),
            }
        }
        Ok(sync_transform_handler::Answer { rejections, records })
    }
}

fn describe(batch: &Batch) -> String {
    let Batch { topic, log_id, partition, group, expected_position, .. } = batch;
    let Batch { start, end, attempt, time_limit_ms, .. } = batch;
    format!(
        "{group} {topic} {log_id:?} {partition} {expected_position:?} {start}..{end} {attempt} \
         {time_limit_ms}"
    )
}

/// Sends a record to partition 0 of the topic that is the key, and one to a partition that does
/// not exist. Returns a description of the results.
fn send(record: &Record) -> String {
    let topic = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
    let outgoing = |partition| Outgoing {
        topic: topic.clone(),
        partition: Some(partition),
        timestamp_ms: Some(1),
        key: None,
        value: record.value.clone(),
        headers: record.headers.clone(),
    };
    format!("{:?}", sync_producer::send(&[outgoing(0), outgoing(1_000)]))
}

#[expect(clippy::panic, reason = "that is what it is for")]
fn trap() -> ! {
    panic!("as requested");
}

fn spin() -> ! {
    loop {
        std::hint::black_box(0);
    }
}
