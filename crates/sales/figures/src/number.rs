//! Parses numbers as Valkey writes them.

use crate::Error;

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
}
