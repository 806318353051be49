//! Compares the recount with Valkey, key by key.

use std::collections::BTreeMap;
use std::fmt::Display;

use rust_decimal::Decimal;

use crate::actual::Actual;
use crate::expected::{CategoryBooks, Expected, price_bits};

/// Maximum relative error of an average, because it is a quotient of doubles.
const AVERAGE_TOLERANCE: f64 = 1e-9;

/// Number of entries that the price stream keeps.
const STREAM_LENGTH: u64 = 1_000;

/// A key with a wrong value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key. For a sorted set or a hash it is followed by a space and the member or the field.
    pub key: String,
    /// The expected value.
    pub expected: String,
    /// The stored value; `nothing` if the key is missing.
    pub actual: String,
}

/// All keys with a wrong value. If there are none, the books agree.
pub fn diff(expected: &Expected, actual: &Actual) -> Vec<Difference> {
    let mut found = Found { actual, differences: Vec::new() };
    match expected.total {
        // The aggregator writes no keys before the first sale.
        0 if !actual.values.contains_key("total_ventas") => {}
        total => found.number("total_ventas", total),
    }
    found.price("precio_max_global", expected.price_max);
    found.price("precio_min_global", expected.price_min);
    found.ranking("ranking_productos", &expected.ranking);
    for category in sale::Category::ALL {
        let name = category.name();
        match expected.categories.get(name) {
            Some(books) => found.category(name, books),
            None => {
                found.nothing(&format!("contador:{name}"));
                found.nothing(&format!("ingresos:{name} total"));
                found.nothing(&format!("ingresos:{name} ventas"));
            }
        }
    }
    found.differences
}

struct Found<'a> {
    actual: &'a Actual,
    differences: Vec<Difference>,
}

impl Found<'_> {
    fn category(&mut self, name: &str, books: &CategoryBooks) {
        self.number(&format!("contador:{name}"), books.count);
        self.number(&format!("suma_cantidad:{name}"), books.quantity);
        self.decimal(&format!("suma_precio:{name}"), books.price);
        self.decimal(&format!("ingresos:{name} total"), books.revenue);
        self.number(&format!("ingresos:{name} ventas"), books.count);
        self.average(&format!("promedio_productos:{name}"), books.quantity_average());
        self.average(&format!("promedio_precio_tag:{name}"), books.price_average());
        self.ranking(&format!("ranking_productos_cat:{name}"), &books.ranking);
        self.monitored(name, books);
    }

    /// The monitored product is the product of the first sale of the category that was counted,
    /// which the ledger does not show. Its stream must contain its prices and no others.
    fn monitored(&mut self, name: &str, books: &CategoryBooks) {
        let key = format!("producto_monitoreado_nombre:{name}");
        let Some(product) = self.actual.values.get(&key) else {
            return self.add(&key, "a product of the category", "nothing");
        };
        let (Some(prices), Some(sales)) = (books.prices.get(product), books.sales.get(product))
        else {
            return self.add(&key, "a product of the category", product);
        };
        let key = format!("stream_precio_producto_unico:{name}");
        let stream = self.actual.streams.get(&key).map(Vec::as_slice).unwrap_or_default();
        let foreign = stream.iter().find(|price| {
            price.parse::<f64>().map_or(true, |price| !prices.contains(&price_bits(price)))
        });
        if let Some(price) = foreign {
            self.add(&key, format!("prices of {product}"), price);
        }
        let length = stream.len() as u64;
        if length != (*sales).min(STREAM_LENGTH) {
            let expected = format!("{} entries", (*sales).min(STREAM_LENGTH));
            self.add(&key, expected, format!("{length} entries"));
        }
    }

    fn number(&mut self, key: &str, expected: impl Display) {
        self.value(key, &expected.to_string(), |actual, expected| actual == expected);
    }

    fn decimal(&mut self, key: &str, expected: Decimal) {
        self.value(key, &expected.normalize().to_string(), |actual, _| {
            actual.parse::<Decimal>().is_ok_and(|actual| actual == expected)
        });
    }

    fn average(&mut self, key: &str, expected: f64) {
        self.value(key, &expected.to_string(), |actual, _| {
            actual
                .parse::<f64>()
                .is_ok_and(|a| (a - expected).abs() <= AVERAGE_TOLERANCE * expected.abs())
        });
    }

    fn price(&mut self, key: &str, expected: Option<f64>) {
        match expected {
            Some(price) => self.value(key, &price.to_string(), |actual, _| {
                actual.parse::<f64>().is_ok_and(|actual| actual == price)
            }),
            None => self.nothing(key),
        }
    }

    fn value(&mut self, key: &str, expected: &str, agrees: impl Fn(&str, &str) -> bool) {
        match self.actual.values.get(key) {
            Some(actual) if agrees(actual, expected) => {}
            Some(actual) => self.add(key, expected, actual),
            None => self.add(key, expected, "nothing"),
        }
    }

    fn nothing(&mut self, key: &str) {
        if let Some(actual) = self.actual.values.get(key) {
            self.add(key, "nothing", actual);
        }
    }

    fn ranking(&mut self, key: &str, expected: &BTreeMap<String, i64>) {
        let empty = BTreeMap::new();
        let actual = self.actual.rankings.get(key).unwrap_or(&empty);
        for (member, score) in expected {
            match actual.get(member) {
                Some(found) if *found == *score as f64 => {}
                Some(found) => self.add(&format!("{key} {member}"), score, found),
                None => self.add(&format!("{key} {member}"), score, "nothing"),
            }
        }
        for (member, score) in actual.iter().filter(|(member, _)| !expected.contains_key(*member)) {
            self.add(&format!("{key} {member}"), "nothing", score);
        }
    }

    fn add(&mut self, key: &str, expected: impl Display, actual: impl Display) {
        self.differences.push(Difference {
            key: key.into(),
            expected: expected.to_string(),
            actual: actual.to_string(),
        });
    }
}

#[cfg(test)]
mod tests {
    use sale::Sale;

    use super::*;

    fn sale(price: f64) -> Sale {
        Sale { category: 1, product_id: "tv".into(), price, quantity: 2 }
    }

    /// The keys that the aggregator stores for one sale of two units in the first category.
    fn stored(sum: &str, revenue: &str, price: &str) -> Actual {
        let values = [
            ("total_ventas", "1"),
            ("precio_min_global", price),
            ("contador:Electronica", "1"),
            ("suma_cantidad:Electronica", "2"),
            ("suma_precio:Electronica", sum),
            ("ingresos:Electronica total", revenue),
            ("ingresos:Electronica ventas", "1"),
            ("promedio_productos:Electronica", "2"),
            ("promedio_precio_tag:Electronica", sum),
            ("producto_monitoreado_nombre:Electronica", "tv"),
        ];
        let ranking = BTreeMap::from([("tv".to_owned(), 2.0)]);
        let rankings = ["ranking_productos", "ranking_productos_cat:Electronica"];
        let stream = ("stream_precio_producto_unico:Electronica".into(), vec![price.into()]);
        Actual {
            values: values.map(|(key, value)| (key.into(), value.into())).into(),
            rankings: rankings.map(|key| (key.into(), ranking.clone())).into(),
            streams: [stream].into(),
        }
    }

    #[test]
    fn prices_are_rounded_as_the_aggregator_rounds_them() {
        for (price, sum, revenue) in [
            (0.1234565, "0.123457", "0.246914"),
            (0.0000005, "0.000001", "0.000002"),
            (-0.0, "0", "0"),
        ] {
            let mut expected = Expected::default();
            expected.add(&sale(price));
            let mut actual = stored(sum, revenue, &price.to_string());
            if price > 0.0 {
                actual.values.insert("precio_max_global".into(), price.to_string());
            }
            assert_eq!(diff(&expected, &actual), [], "{price}");
        }
    }

    #[test]
    fn a_revenue_must_be_exact_and_include_all_sales() {
        let mut expected = Expected::default();
        expected.add(&sale(1.5));
        let mut actual = stored("1.5", "3", "1.5");
        actual.values.insert("precio_max_global".into(), "1.5".into());
        assert_eq!(diff(&expected, &actual), []);
        for (field, value) in [("total", "3.000001"), ("total", ""), ("ventas", "2")] {
            let key = format!("ingresos:Electronica {field}");
            let mut wrong = actual.clone();
            wrong.values.insert(key.clone(), value.into());
            let differences = diff(&expected, &wrong);
            assert_eq!(differences.len(), 1, "{differences:?}");
            assert_eq!(differences[0].key, key);
        }
        actual.values.retain(|key, _| !key.starts_with("ingresos"));
        assert_eq!(diff(&expected, &actual).len(), 2);
    }

    #[test]
    fn nothing_accepted_and_nothing_stored_agree() {
        assert_eq!(diff(&Expected::default(), &Actual::default()), []);
        let counted = diff(&Expected::default(), &stored("1", "2", "1"));
        for key in ["total_ventas", "ingresos:Electronica total", "ingresos:Electronica ventas"] {
            assert!(counted.iter().any(|difference| difference.key == key), "{key}: {counted:?}");
        }
    }
}
