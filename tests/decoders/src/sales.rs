//! The properties of every accepted sale.

use sale::{MICROS_PER_UNIT, Sale};

/// Maximum size of a sale's JSON: an id of 128 bytes, each of them escaped, and three numbers.
const JSON_BYTES_MAX: usize = 1_024;

/// Checks that the sale is within the limits, and that its JSON is parsed to the same sale
/// everywhere.
pub fn check(sale: &Sale) {
    assert_eq!(sale.validate(), Ok(()));
    assert!((0..=1_000_000_000_000).contains(&sale.price_micros()), "{sale:?}");
    assert!((sale.price_micros() as f64 / MICROS_PER_UNIT - sale.price).abs() < 1e-6, "{sale:?}");
    let json = sale.to_json();
    assert!(json.len() <= JSON_BYTES_MAX, "{sale:?}");
    assert_eq!(Sale::from_request_json(&json).as_ref(), Ok(sale));
    assert_eq!(Sale::from_record_json(&json).as_ref(), Ok(sale));
}
