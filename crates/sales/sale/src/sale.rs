//! The sale and the limits of its fields.

use serde::{Deserialize, Serialize};

use crate::Violation;

/// Maximum length of `producto_id`, in bytes.
pub const PRODUCT_ID_BYTES_MAX: usize = 128;

/// Maximum `precio`, in units of the shop's currency. It makes the sum of the prices, in
/// millionths, of nine million sales at this price fit into 64 bits. The script in Valkey refuses a
/// larger sum.
pub const PRICE_MAX: f64 = 1_000_000.0;

/// Prices are summed in millionths of the currency's unit. Integer sums are exact for prices with
/// up to six decimals, and do not depend on how sales are split into batches.
pub const MICROS_PER_UNIT: f64 = 1_000_000.0;

/// Maximum `cantidad_vendida`.
pub const QUANTITY_MAX: i32 = 1_000_000;

/// One sale. The serde implementations produce the JSON of the wire but do not check the limits; to
/// parse, use [`Sale::from_request_json`] or [`Sale::from_record_json`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sale {
    /// Number of the category; see [`crate::Category::from_number`].
    #[serde(rename = "categoria")]
    pub category: i32,
    /// The product's identifier: 1 to [`PRODUCT_ID_BYTES_MAX`] bytes, no control characters.
    #[serde(rename = "producto_id")]
    pub product_id: String,
    /// Price of one unit, in units of the shop's currency: 0 to [`PRICE_MAX`].
    #[serde(rename = "precio")]
    pub price: f64,
    /// Units sold: 1 to [`QUANTITY_MAX`].
    #[serde(rename = "cantidad_vendida")]
    pub quantity: i32,
}

impl Sale {
    /// The price in millionths, rounded to the nearest integer; halves are rounded away from zero.
    /// For prices up to [`PRICE_MAX`] it is at most 10^12.
    pub fn price_micros(&self) -> i64 {
        (self.price * MICROS_PER_UNIT).round() as i64
    }

    /// Checks the limits of all fields, and returns the first violation.
    pub fn validate(&self) -> Result<(), Violation> {
        if self.product_id.is_empty() || self.product_id.len() > PRODUCT_ID_BYTES_MAX {
            let reason = format!("must be 1 to {PRODUCT_ID_BYTES_MAX} bytes long");
            return Err(Violation::new("producto_id", reason));
        }
        if self.product_id.chars().any(char::is_control) {
            return Err(Violation::new("producto_id", "must not contain control characters"));
        }
        if !(0.0..=PRICE_MAX).contains(&self.price) {
            return Err(Violation::new(
                "precio",
                format!("must be a number from 0 to {PRICE_MAX}"),
            ));
        }
        if !(1..=QUANTITY_MAX).contains(&self.quantity) {
            let reason = format!("must be an integer from 1 to {QUANTITY_MAX}");
            return Err(Violation::new("cantidad_vendida", reason));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_rounded_to_the_nearest_millionth() {
        for (price, micros) in [
            (0.0, 0),
            (-0.0, 0),
            (0.0000005, 1),
            (0.0000004, 0),
            (0.0000015, 2),
            (0.0000025, 3),
            (0.1234565, 123_457),
            (0.1234564, 123_456),
            (499.99, 499_990_000),
            (PRICE_MAX, 1_000_000_000_000),
        ] {
            let sale = Sale { category: 1, product_id: "tv".into(), price, quantity: 1 };
            assert_eq!(sale.validate(), Ok(()), "{price}");
            assert_eq!(sale.price_micros(), micros, "{price}");
        }
    }
}
