//! A test guest that forwards each order to the topic with the name of its consumer group. An order
//! for the product `poison` makes it panic. `index.js`, `app.py` and `handler.go` do the same in
//! other languages, with the templates' code that parses orders.

use serde_json::Value;
use spin_kafka_sdk::producer::{Outgoing, send_all};
use spin_kafka_sdk::{self as kafka, Batch, Error, Failure, FromRecord, Record, Rejection};

/// The JSON in the value of a record.
struct Order {
    product: String,
    quantity: u32,
}

impl Order {
    fn from_json(value: &Value) -> Option<Self> {
        let product = value.get("product")?.as_str()?.to_owned();
        let quantity = value.get("quantity")?.as_u64()?.try_into().ok()?;
        (quantity > 0).then_some(Self { product, quantity })
    }

    fn forwarded(&self, topic: &str, record: &Record) -> Outgoing {
        assert!(self.product != "poison", "poison");
        Outgoing::new(topic)
            .key(self.product.as_str())
            .value(self.quantity.to_string())
            .header("offset", record.offset().to_string())
    }
}

impl FromRecord<'_> for Order {
    fn from_record(record: &Record) -> Result<Self, Error> {
        let value = serde_json::from_slice(record.value().unwrap_or_default())
            .map_err(|_| Error::reject("the value is not JSON"))?;
        Self::from_json(&value).ok_or_else(|| Error::reject("the value is not an order"))
    }
}

#[kafka::batch]
async fn handle(batch: &Batch) -> Result<Vec<Rejection>, Failure> {
    let (orders, rejections) = kafka::parse::<Order>(batch.records())?;
    let forwarded = |(record, order): &(&Record, Order)| order.forwarded(batch.group(), record);
    for result in send_all(orders.iter().map(forwarded)).await {
        result?;
    }
    Ok(rejections)
}
