//! A test guest with a state, which the fault suite runs beside the aggregator: it counts the sales of
//! each product in windows of a minute. The windows never expire, so that their sum can be compared.

use sale::Sale;
use spin_kafka_sdk::{self as kafka, Record, Rejection, State};

const MINUTE_MS: i64 = 60_000;

#[kafka::batch(state = "windows")]
fn count(records: &[Record], state: &mut State) -> Vec<Rejection> {
    let mut rejections = Vec::new();
    for record in records {
        let sale = match Sale::from_record_json(record.value().unwrap_or_default()) {
            Ok(sale) => sale,
            Err(violation) => {
                rejections.push(record.reject(violation));
                continue;
            }
        };
        let minute = record.timestamp_ms().unwrap_or(0) / MINUTE_MS;
        state.hash(&format!("minute:{minute}")).increment(&sale.product_id, 1);
        state.add_score("products", &sale.product_id, 1.0);
    }
    rejections
}
