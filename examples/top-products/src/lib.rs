//! Ranks the products of each minute by the quantity that was ordered.

use std::num::NonZeroU32;

use spin_kafka_sdk::{self as kafka, Record, Window};

#[derive(serde::Deserialize)]
struct Order {
    product: String,
    quantity: NonZeroU32,
}

#[kafka::fold]
fn rank(record: &Record, window: &mut Window) -> Result<(), kafka::Error> {
    let order: Order = record.json()?;
    window.top("products", order.product, order.quantity.get().into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_ranked_by_its_quantity() {
        let record = Record::new("orders", 0, 0).with_value(r#"{"product":"tv","quantity":2}"#);
        let (mut window, mut expected) = (Window::default(), Window::default());
        rank(&record, &mut window).unwrap();
        expected.top("products", "tv", 2);
        assert_eq!(window, expected);
    }
}
