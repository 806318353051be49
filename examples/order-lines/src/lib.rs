//! Writes a record for each line of an order, with the product as its key. A reader with the
//! isolation level `read_committed` sees all lines of an order once, or none.

use serde::{Deserialize, Serialize};
use spin_kafka_sdk::producer::Outgoing;
use spin_kafka_sdk::{self as kafka, Answer, Failure, Json, Record};

/// The topic of the lines, as in `output_topics` of `spin.toml`.
const LINES: &str = "order-lines";

#[derive(Deserialize)]
struct Order {
    id: String,
    lines: Vec<Line>,
}

#[derive(Deserialize, Serialize)]
struct Line {
    product: String,
    quantity: u32,
}

#[kafka::transform]
fn split(records: &[Record]) -> Result<Answer, Failure> {
    let (orders, rejections) = kafka::parse::<Json<Order>>(records)?;
    let mut lines = Vec::new();
    for (_, Json(order)) in orders {
        for line in &order.lines {
            let record = Outgoing::new(LINES).key(line.product.as_str()).json(line);
            lines.push(record.map_err(Failure::fatal)?.header("order", order.id.as_str()));
        }
    }
    Ok(Answer { rejections, records: lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_a_record_for_each_line() {
        let order = |offset, value: &str| Record::new("orders", 0, offset).with_value(value);
        let lines = r#"[{"product":"tv","quantity":2},{"product":"bag","quantity":1}]"#;
        let records =
            [order(0, &format!(r#"{{"id":"a","lines":{lines}}}"#)), order(1, "not an order")];
        let Answer { rejections, records: written } = split(&records).unwrap();
        assert_eq!((rejections.len(), rejections[0].offset()), (1, 1));
        let keys: Vec<_> = written.iter().map(|record| record.key_bytes().unwrap()).collect();
        assert_eq!(keys, [b"tv".as_slice(), b"bag"]);
        let value = written[0].value_bytes().unwrap();
        assert_eq!(value, br#"{"product":"tv","quantity":2}"#);
        assert_eq!(written[0].topic(), LINES);
    }
}
