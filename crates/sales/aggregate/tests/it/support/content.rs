//! The content of a Valkey key.

use std::collections::BTreeMap;

/// All keys of a store, with their contents.
pub type Contents = BTreeMap<String, Content>;

/// The content of a key.
#[derive(Debug, Clone)]
pub enum Content {
    /// A string that is compared byte by byte.
    Text(String),
    /// A string that is compared as a number.
    Number(f64),
    /// A sorted set.
    Scores(BTreeMap<String, f64>),
    /// The prices of a stream's entries, oldest first.
    Prices(Vec<f64>),
    /// A hash.
    Fields(BTreeMap<String, String>),
}

impl PartialEq for Content {
    /// The last digit of a quotient may differ.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => (a - b).abs() <= a.abs() * 2.0 * f64::EPSILON,
            (Self::Scores(a), Self::Scores(b)) => a == b,
            (Self::Prices(a), Self::Prices(b)) => a == b,
            (Self::Fields(a), Self::Fields(b)) => a == b,
            _ => false,
        }
    }
}
