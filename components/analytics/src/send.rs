//! Sends the events of an instance, in a task that continues after the answer to the request that has
//! started it.

use std::cell::RefCell;
use std::time::Duration;

use guest_http::{report_change, report_unwritten};
use guest_kafka::{Record as KafkaRecord, send_each};
use guest_tasks::{now_ms, within};
use intake::IntakeError;
use intake::request::IDEMPOTENCY_KEY;
use request_events::{ATTEMPT_LIMIT, Config, Next, Outbox, Record};
use spin_sdk::wasip3::random::random::get_random_u64;

thread_local! {
    static OUTBOX: RefCell<Outbox> = RefCell::default();
}

/// Adds an event to those that are sent.
pub fn later(config: &'static Config, record: Record) {
    if OUTBOX.with_borrow_mut(|outbox| outbox.add(record, now_ms())) {
        spin_sdk::wit_bindgen::spawn(send_all(config));
    }
}

/// A number that cannot be guessed.
pub fn random() -> u128 {
    (u128::from(get_random_u64()) << 64) | u128::from(get_random_u64())
}

async fn send_all(config: &'static Config) {
    let mut next = Next::FIRST;
    loop {
        match next {
            Next::Send => {}
            Next::Pause(ms) => spin_sdk::time::sleep(Duration::from_millis(ms)).await,
            Next::End => {
                let requests = OUTBOX.with_borrow(Outbox::unwritten_requests);
                if requests > 0 {
                    report_change(&format!(
                        "the events of {requests} requests are not written; the next request to this \
                         instance sends them again, and they are lost if it ends before"
                    ));
                }
                return;
            }
        }
        let batch = OUTBOX.with_borrow_mut(|outbox| {
            outbox.batch(random).iter().map(|record| to_kafka(config, record)).collect()
        });
        // If the time has passed, each record may have been written, and is sent again.
        let results = within(ATTEMPT_LIMIT, send_each(batch)).await.unwrap_or_else(|| {
            vec![Err(IntakeError::TimedOut("the producer returned no results in time".into()))]
        });
        if let Some(error) = results.iter().find_map(|result| result.as_ref().err()) {
            report_unwritten(error);
        }
        let acknowledged = results.iter().map(Result::is_ok);
        next = OUTBOX.with_borrow_mut(|outbox| outbox.attempted(acknowledged, now_ms()));
    }
}

/// The record with its id as key and idempotency key: if it is written twice, both are in the same
/// partition, and consumers can leave the second one out.
fn to_kafka(config: &Config, record: &Record) -> KafkaRecord {
    let id = record.id.as_bytes();
    KafkaRecord {
        topic: config.topic.clone(),
        key: Some(id.to_vec()),
        value: record.value.clone(),
        headers: vec![(IDEMPOTENCY_KEY.into(), id.to_vec())],
    }
}
