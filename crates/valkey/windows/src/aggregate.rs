//! The aggregates that the settings name.

use serde::{Deserialize, Serialize};

use crate::selector::{Event, Selector};
use crate::window::Window;
use crate::{Record, RecordError, SettingsError};

/// An aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Aggregate {
    /// The number of records.
    Count,
    /// The exact sum of decimals.
    Sum { of: Selector },
    /// The average of decimals, as their sum and their number.
    Average { of: Selector },
    /// The smallest number.
    Minimum { of: Selector },
    /// The largest number.
    Maximum { of: Selector },
    /// An estimate of the number of distinct texts.
    Distinct { of: Selector },
    /// A ranking of texts, by the number of records or by the sum of an integer.
    Top {
        of: Selector,
        #[serde(skip_serializing_if = "Option::is_none")]
        weight: Option<Selector>,
    },
    /// Counts of values in buckets. The values are multiplied by 10 to the power of `decimals`.
    Quantiles {
        of: Selector,
        #[serde(default)]
        decimals: u8,
    },
}

/// Maximum of `decimals`.
const DECIMALS_MAX: u8 = 9;

impl Aggregate {
    pub fn check(&self, setting: &str) -> Result<(), SettingsError> {
        if matches!(self, Self::Quantiles { decimals, .. } if *decimals > DECIMALS_MAX) {
            let problem = format!("is more than {DECIMALS_MAX}");
            return Err(SettingsError::value(format!("{setting}.decimals"), problem));
        }
        self.selectors().try_for_each(|selector| selector.check(setting))
    }

    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        let (of, weight) = match self {
            Self::Count => (None, None),
            Self::Top { of, weight } => (Some(of), weight.as_ref()),
            Self::Sum { of }
            | Self::Average { of }
            | Self::Minimum { of }
            | Self::Maximum { of }
            | Self::Distinct { of }
            | Self::Quantiles { of, .. } => (Some(of), None),
        };
        of.into_iter().chain(weight)
    }

    /// Whether sessions can contain the aggregate.
    pub fn is_in_sessions(&self) -> bool {
        !matches!(self, Self::Distinct { .. } | Self::Top { .. } | Self::Quantiles { .. })
    }

    /// Adds what a record contributes.
    pub fn add<R: Record>(
        &self,
        name: &str,
        group: Option<&[u8]>,
        event: &Event<'_, R>,
        window: &mut Window,
    ) -> Result<(), RecordError> {
        let mut part = match group {
            Some(group) => window.group(group),
            None => window.all(),
        };
        match self {
            Self::Count => part.count(name, 1),
            Self::Sum { of } => part.sum(name, of.decimal(event)?),
            Self::Average { of } => part.average(name, of.decimal(event)?),
            Self::Minimum { of } => part.minimum(name, of.number(event)?),
            Self::Maximum { of } => part.maximum(name, of.number(event)?),
            Self::Distinct { of } => part.distinct(name, of.text(event)?),
            Self::Top { of, weight } => {
                let by = weight.as_ref().map_or(Ok(1), |weight| weight.integer(event))?;
                part.top(name, of.text(event)?, by);
            }
            Self::Quantiles { of, decimals } => {
                let scaled = of.number(event)? * 10_f64.powi(i32::from(*decimals));
                // Below 2^63, so that a bucket is also an integer of other languages.
                if !(0.0..i64::MAX as f64).contains(&scaled) {
                    return Err(of.form("a number from 0 to 9.2e18, with `decimals`"));
                }
                part.quantiles(name, scaled.round() as u64);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::TestRecord;
    use crate::{AMOUNT_LIMIT, GROUP_BYTES_MAX, INTEGER_MAX, Windows};

    const SETTINGS: &str = r#"
        name = "n"
        retention_s = 60
        window = { kind = "tumbling", size_s = 60 }
        group = { pointer = "/shop" }

        [aggregates]
        number = { kind = "count" }
        revenue = { kind = "sum", of = { pointer = "/price" } }
        price = { kind = "average", of = { pointer = "/price" } }
        low = { kind = "minimum", of = { pointer = "/price" } }
        high = { kind = "maximum", of = { pointer = "/price" } }
        customers = { kind = "distinct", of = "key" }
        products = { kind = "top", of = { pointer = "/product" }, weight = { pointer = "/n" } }
        latency = { kind = "quantiles", of = { pointer = "/price" }, decimals = 2 }
    "#;

    fn window(value: &str) -> Result<Window, RecordError> {
        let key = Some(b"c1".to_vec());
        let record = TestRecord { timestamp_ms: Some(0), key, ..TestRecord::default() };
        let windows = Windows::parse(SETTINGS).unwrap();
        let window = windows.entry(&record.value(value))?.window;
        window.check(1).map(|()| window)
    }

    #[test]
    fn a_record_adds_to_every_aggregate() {
        let mut expected = Window::default();
        let mut shop = expected.group("7");
        shop.distinct("customers", "c1");
        shop.maximum("high", 19.99);
        shop.quantiles("latency", 1_999);
        shop.minimum("low", 19.99);
        shop.count("number", 1);
        shop.average("price", "19.99".parse().unwrap());
        shop.top("products", "tv", 3);
        shop.sum("revenue", "19.99".parse().unwrap());
        for (price, shop) in [("19.99", "7"), ("\"19.990\"", "\"7\"")] {
            let value = format!(r#"{{"shop":{shop},"price":{price},"product":"tv","n":3}}"#);
            assert_eq!(window(&value), Ok(expected.clone()));
        }
    }

    #[test]
    fn a_record_that_cannot_be_added_is_refused_with_the_reason() {
        let long = "x".repeat(GROUP_BYTES_MAX + 1);
        for (shop, price, product, number, reason) in [
            ("null", "1", "\"tv\"", "1", "the record has no field `/shop`"),
            ("[]", "1", "\"tv\"", "1", "the field `/shop` is not a string"),
            ("\"\"", "1", "\"tv\"", "1", "is empty or has more than"),
            ("1", "1", &format!("\"{long}\""), "1", "is empty or has more than"),
            ("1", "1e-10", "\"tv\"", "1", "the field `/price` is not a decimal"),
            ("1", "\"inf\"", "\"tv\"", "1", "the field `/price` is not a decimal"),
            ("1", "-1", "\"tv\"", "1", "the field `/price` is not a number from 0"),
            ("1", &AMOUNT_LIMIT.to_string(), "\"tv\"", "1", "the field `/price` is not a number"),
            ("1", "1", "\"tv\"", "1.5", "the field `/n` is not an integer"),
            ("1", "1", "\"tv\"", &(INTEGER_MAX + 1).to_string(), "a number is too large"),
        ] {
            let value =
                format!(r#"{{"shop":{shop},"price":{price},"product":{product},"n":{number}}}"#);
            let error = window(&value).unwrap_err().to_string();
            assert!(error.contains(reason), "{value}: {error}");
        }
    }
}
