//! Parses numbers as Valkey writes them.

use sale::MICROS_PER_UNIT;
use serde::{Serialize, Serializer};

use crate::Error;

/// Number of decimals of an [`Amount`].
const AMOUNT_PLACES: usize = 6;

/// An amount of money in millionths of the currency's unit, so that sums are exact. In JSON it is a
/// number of units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount(i128);

impl Amount {
    /// The sum without overflow, as another program may have written any numbers into the keys.
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 as f64 / MICROS_PER_UNIT)
    }
}

/// An integer; zero if the key does not exist.
pub(crate) fn integer(key: &str, text: &str) -> Result<i64, Error> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| malformed(key, text, "integer"))
}

/// A decimal number; `None` if the key does not exist.
pub(crate) fn decimal(key: &str, text: &str) -> Result<Option<f64>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Some(number)),
        _ => Err(malformed(key, text, "decimal")),
    }
}

/// An amount: digits, and up to six decimals.
pub(crate) fn amount(key: &str, text: &str) -> Result<Amount, Error> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let micros = format!("{whole}{fraction:0<AMOUNT_PLACES$}");
    let is_valid = !whole.is_empty()
        && fraction.len() <= AMOUNT_PLACES
        && micros.bytes().all(|byte| byte.is_ascii_digit());
    let micros = is_valid.then(|| micros.parse().ok()).flatten();
    micros.map(Amount).ok_or_else(|| malformed(key, text, "amount"))
}

/// The units in a ranking: integers, which Valkey stores and writes as doubles.
pub(crate) fn score(key: &str, text: &str) -> Result<i64, Error> {
    match decimal(key, text)? {
        Some(number) => Ok(number as i64),
        None => Err(malformed(key, text, "score")),
    }
}

fn malformed(key: &str, value: &str, expected: &'static str) -> Error {
    Error::Malformed { key: key.into(), value: value.chars().take(100).collect(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_valkey_writes_them() {
        assert_eq!(integer("k", ""), Ok(0));
        assert_eq!(integer("k", "-7"), Ok(-7));
        assert_eq!(decimal("k", ""), Ok(None));
        assert_eq!(decimal("k", "19.99"), Ok(Some(19.99)));
        assert_eq!(score("k", "1.2345678901234567e+16"), Ok(12_345_678_901_234_568));
        for text in ["x", "1.5", " 1"] {
            assert!(integer("k", text).is_err(), "{text}");
        }
        for text in ["x", "inf", "NaN"] {
            assert!(decimal("k", text).is_err(), "{text}");
        }
        assert!(score("k", "").is_err());
    }

    #[test]
    fn amounts_are_added_exactly() {
        for (text, micros) in [
            ("0", 0),
            ("7", 7_000_000),
            ("0.000001", 1),
            ("19.99", 19_990_000),
            ("999999999999999999999.999999", 999_999_999_999_999_999_999_999_999),
        ] {
            assert_eq!(amount("k", text), Ok(Amount(micros)), "{text}");
        }
        let endless = "9".repeat(50);
        for text in ["", ".5", "-1", "+1", "1e3", "1,5", "0.1234567", "1.2.3", &endless] {
            assert!(amount("k", text).is_err(), "{text}");
        }
        let sum = amount("k", "0.1").unwrap().plus(amount("k", "0.2").unwrap());
        assert_eq!(serde_json::to_string(&sum).unwrap(), "0.3");
        assert_eq!(Amount(i128::MAX).plus(sum), Amount(i128::MAX));
    }
}
