//! A test guest of `spin-kafka-sdk` for everything that the template `kafka-rust` does not use: it
//! copies each batch of numbers to the topic `copies`, and keeps its position in memory. A new instance
//! starts at offset 1.

use std::cell::Cell;

use spin_kafka_sdk::producer::{Outgoing, send_all};
use spin_kafka_sdk::{self as kafka, Batch, Failure, Json, Partition, Rejection};

thread_local! {
    /// The position after the last batch, and at first the one after a record that counts as applied
    /// before. The topic has one partition.
    static POSITION: Cell<Option<i64>> = const { Cell::new(Some(1)) };
}

#[kafka::batch]
async fn handle(batch: &Batch) -> Result<Vec<Rejection>, Failure> {
    let (numbers, rejections) = kafka::parse::<Json<u32>>(batch.records())?;
    let copy = |number: u32| Outgoing::new("copies").key("copy").value(number.to_string());
    let results = send_all(numbers.iter().map(|(_, number)| copy(number.0))).await;
    for ((_, number), result) in numbers.iter().zip(results) {
        let delivery = result?;
        tracing::info!(number = number.0, delivery.offset, "copied");
    }
    POSITION.set(Some(batch.end()));
    Ok(rejections)
}

#[kafka::position]
fn position(partition: &Partition) -> Result<Option<i64>, Failure> {
    tracing::info!(topic = partition.topic(), "position requested");
    Ok(POSITION.get())
}
