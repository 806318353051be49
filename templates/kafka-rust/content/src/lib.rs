//! Handles the records of the topic `{{kafka-topic}}`.

use serde::Deserialize;
use spin_kafka_sdk::{self as kafka, Json, Record};

/// The JSON in the value of a record.
#[derive(Deserialize)]
struct Order {
    product: String,
    quantity: u32,
}

/// Called for each record. A record that is not an order is rejected: it goes to the dead-letter
/// topic, with the reason.
#[kafka::record]
async fn handle(order: Json<Order>, record: &Record) -> Result<(), kafka::Error> {
    if order.quantity == 0 {
        return Err(kafka::Error::reject("the quantity is 0"));
    }
    tracing::info!(
        partition = record.partition(),
        product = order.product,
        quantity = order.quantity,
        "ordered"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn an_order_of_nothing_is_rejected() {
        let record = Record::new("{{kafka-topic}}", 0, 7);
        let order = |quantity| Json(Order { product: "tv".into(), quantity });
        assert_eq!(block_on(handle(order(1), &record)), Ok(()));
        let rejected = block_on(handle(order(0), &record));
        assert_eq!(rejected, Err(kafka::Error::reject("the quantity is 0")));
    }
}
