//! Exact decimals.

use std::fmt::{self, Display, Formatter};
use std::ops::Neg;
use std::str::FromStr;

/// Digits after the point.
const FRACTION: u32 = 9;
/// 10 to the power of [`FRACTION`].
const UNITS: i128 = 1_000_000_000;
/// The script refuses a value of this size and above: 27 digits before the point.
const LIMIT: i128 = 10_i128.pow(36);

/// A decimal with at most 9 digits after the point and 27 before it. Sums of decimals are exact, so
/// they do not depend on the order in which they are added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(i128);

/// A text is not a [`Decimal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal with at most 27 digits before the point and 9 after it")]
pub struct DecimalError;

impl Decimal {
    /// The decimal `digits` × 10^-`scale`, if it is within the limits and `scale` is at most 9.
    pub fn with_scale(digits: i128, scale: u32) -> Option<Self> {
        let units = digits.checked_mul(10_i128.pow(FRACTION.checked_sub(scale)?))?;
        (units.abs() < LIMIT).then_some(Self(units))
    }

    /// The sum, if it is within the limits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        // Two values below 10^36 do not overflow an i128.
        let sum = self.0 + other.0;
        (sum.abs() < LIMIT).then_some(Self(sum))
    }

    /// The product with an integer, if it is within the limits.
    pub fn checked_mul(self, factor: i64) -> Option<Self> {
        let product = self.0.checked_mul(factor.into())?;
        (product.abs() < LIMIT).then_some(Self(product))
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Self(i128::from(value) * UNITS)
    }
}

impl Neg for Decimal {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0)
    }
}

/// Parses a plain decimal, such as `-12.50`. There is no form with an exponent; the number types of
/// the standard library are displayed without one.
impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1_i128, digits),
            None => (1, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let fraction_digits = fraction.trim_end_matches('0');
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || fraction_digits.len() > FRACTION as usize {
            return Err(DecimalError);
        }
        // Without leading zeros, so that a long text cannot overflow.
        let whole = whole.trim_start_matches('0');
        let text = format!("{whole}{fraction_digits:0<width$}", width = FRACTION as usize);
        let units = text.parse::<i128>().ok().filter(|units| *units < LIMIT).ok_or(DecimalError)?;
        Ok(Self(sign * units))
    }
}

/// Without trailing zeros, as the script writes it.
impl Display for Decimal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0.abs() / UNITS, self.0.abs() % UNITS);
        let sign = if self.0 < 0 { "-" } else { "" };
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let fraction = format!("{fraction:0width$}", width = FRACTION as usize);
        write!(f, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_displayed_in_its_shortest_form() {
        for (text, shortest) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("007.50", "7.5"),
            ("-0.000000001", "-0.000000001"),
            ("0.1000000000", "0.1"),
            ("999999999999999999999999999.999999999", "999999999999999999999999999.999999999"),
        ] {
            assert_eq!(text.parse::<Decimal>().unwrap().to_string(), shortest);
        }
        assert_eq!(Decimal::from(i64::MIN).to_string(), i64::MIN.to_string());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "-", ".", "1.", ".5", "+1", "1e3", "0.0000000001", "1_0", &"9".repeat(28), "inf"]
        {
            assert_eq!(text.parse::<Decimal>(), Err(DecimalError), "{text}");
        }
    }

    #[test]
    fn a_decimal_of_digits_has_their_scale() {
        let text = |digits, scale| Decimal::with_scale(digits, scale).map(|d| d.to_string());
        assert_eq!(text(-19_990_000, 6).as_deref(), Some("-19.99"));
        assert_eq!(text(7, 0).as_deref(), Some("7"));
        assert_eq!(text(1, 9).as_deref(), Some("0.000000001"));
        for (digits, scale) in [(1, 10), (10_i128.pow(27), 0), (i128::MAX, 6)] {
            assert_eq!(text(digits, scale), None);
        }
    }

    #[test]
    fn a_result_outside_the_limits_is_refused() {
        let largest: Decimal = "9".repeat(27).parse().unwrap();
        assert_eq!(largest.checked_add(1.into()), None);
        assert_eq!((-largest).checked_add((-1).into()), None);
        assert_eq!(largest.checked_mul(2), None);
        assert_eq!(Decimal::from(3).checked_mul(-2), Some(Decimal::from(-6)));
        assert_eq!(
            largest.checked_add((-1).into()).unwrap().to_string(),
            format!("{}8", "9".repeat(26))
        );
    }
}
