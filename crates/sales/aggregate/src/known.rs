//! What is known of the stored values.

use std::collections::BTreeMap;

use sale::Category;
use spin_kafka_state::{Read, State};

use crate::keys::Keys;

/// A cache of stored values on which the changes depend, which is kept from one batch to the next.
/// The script checks the cached values. After the first batch they are correct, and they rarely
/// change.
#[derive(Debug, Clone, Default)]
pub struct Known(BTreeMap<Category, Stored>);

/// What is known of a category. By default, nothing is stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    /// The name of the monitored product.
    pub monitored: Option<String>,
    pub price: PriceSum,
}

/// The sum of the prices of a category.
#[derive(Debug, Clone, Default)]
pub(crate) enum PriceSum {
    #[default]
    Missing,
    /// The aggregator wrote it.
    Exact,
    /// Another program wrote it, with rounding errors.
    Inexact(String),
}

impl Known {
    pub(crate) fn of(&self, category: Category) -> Stored {
        self.0.get(&category).cloned().unwrap_or_default()
    }

    /// Stores the monitored product of a category after it was counted.
    pub(crate) fn counted(&mut self, category: Category, first: &str) {
        let stored = self.0.entry(category).or_default();
        stored.monitored.get_or_insert_with(|| first.into());
        stored.price = PriceSum::Exact;
    }

    /// Stores the values of categories, which are those of [`Stored::record`], one after the other.
    pub(crate) fn learn(&mut self, categories: &[Category], values: &[Option<Vec<u8>>]) {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let mut values = values.iter().map(|value| value.as_deref().map(text));
        for category in categories {
            let stored = self.0.entry(*category).or_default();
            let Some(monitored) = values.next() else { return };
            stored.monitored = monitored;
            if matches!(stored.price, PriceSum::Exact) {
                continue;
            }
            stored.price = match (values.next().flatten(), values.next().flatten()) {
                (_, Some(_)) => PriceSum::Exact,
                (Some(sum), None) => PriceSum::Inexact(sum),
                (None, None) => PriceSum::Missing,
            };
        }
    }
}

impl Stored {
    /// Records the values as read, so that the script checks them. An exact sum stays exact.
    pub fn record(&self, keys: &Keys, state: &mut State) {
        let mut record = |key: &str, value: Option<&str>| {
            state.record_read(Read::value(key), value.map(Into::into));
        };
        record(&keys.monitored, self.monitored.as_deref());
        let sum = match &self.price {
            PriceSum::Exact => return,
            PriceSum::Missing => None,
            PriceSum::Inexact(sum) => Some(sum.as_str()),
        };
        record(&keys.price, sum);
        record(&keys.price_micros, None);
    }
}

/// A sum of prices that another program wrote, in millionths; None if it is not a sum.
pub(crate) fn micros(sum: &str) -> Option<i64> {
    let (whole, fraction) = sum.split_once('.').unwrap_or((sum, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let (kept, rest) = fraction.split_at_checked(6).unwrap_or((fraction, ""));
    let micros: i64 = format!("{whole}{kept:0<6}").parse().ok()?;
    micros.checked_add(i64::from(rest.starts_with(['5', '6', '7', '8', '9'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_another_program_is_rounded_to_millionths() {
        for (sum, rounded) in [
            ("7", 7_000_000),
            ("1234.5", 1_234_500_000),
            ("10000.10000000000000036", 10_000_100_000),
            ("0.0999999999999999", 100_000),
            ("0.0000004", 0),
        ] {
            assert_eq!(micros(sum), Some(rounded), "{sum}");
        }
        for sum in ["", "-1", "1e3", "x", "99999999999999999999"] {
            assert_eq!(micros(sum), None, "{sum}");
        }
    }
}
