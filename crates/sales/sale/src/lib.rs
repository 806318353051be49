//! A sale as the wire contract defines it: its fields, limits and categories, and its JSON formats.

mod category;
mod error;
mod json;
mod sale;

pub use category::Category;
pub use error::Violation;
pub use json::parse_object;
pub use sale::{MICROS_PER_UNIT, PRICE_MAX, PRODUCT_ID_BYTES_MAX, QUANTITY_MAX, Sale};
