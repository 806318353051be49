//! The sale and its limits.

use serde::{Deserialize, Serialize};

use crate::Violation;

/// Longest `producto_id`, in bytes.
pub const PRODUCT_ID_BYTES_MAX: usize = 128;

/// Highest `precio`, in units of the shop's currency. With it, sums of prices in millionths
/// fit 64 bits for nine million sales at the highest price; the store refuses what would not.
pub const PRICE_MAX: f64 = 1_000_000.0;

/// Highest `cantidad_vendida`.
pub const QUANTITY_MAX: i32 = 1_000_000;

/// One sale. Serde's form is the wire's JSON, without the limits: see
/// [`Sale::from_request_json`] and [`Sale::from_record_json`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sale {
    /// Category number; see [`crate::Category::of`].
    #[serde(rename = "categoria")]
    pub category: i32,
    /// The product's identifier.
    #[serde(rename = "producto_id")]
    pub product_id: String,
    /// Price of one unit.
    #[serde(rename = "precio")]
    pub price: f64,
    /// Units sold.
    #[serde(rename = "cantidad_vendida")]
    pub quantity: i32,
}

impl Sale {
    /// Checks the limits.
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
