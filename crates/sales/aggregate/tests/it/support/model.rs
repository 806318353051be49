//! The model: counts one record at a time with exact sums, like the consumer of the original
//! system.

use std::collections::{BTreeMap, BTreeSet};

use sale::{Category, Sale};

use super::content::{Content, Contents};

/// A record of the log.
#[derive(Debug, Clone)]
pub enum Record {
    /// A sale at a price in millionths of the currency's unit.
    Sale { category: i32, product: String, micros: i64, quantity: i32, key: Option<u8> },
    /// Not a sale; None is a tombstone.
    Junk(Option<Vec<u8>>),
}

impl Record {
    /// The record's value.
    pub fn value(&self) -> Option<Vec<u8>> {
        match self {
            Record::Sale { category, product, micros, quantity, .. } => {
                let (product_id, price) = (product.clone(), price(*micros));
                Some(Sale { category: *category, product_id, price, quantity: *quantity }.to_json())
            }
            Record::Junk(value) => value.clone(),
        }
    }

    /// The record's idempotency key.
    pub fn key(&self) -> Option<String> {
        match self {
            Record::Sale { key, .. } => key.map(|key| format!("k{key}")),
            Record::Junk(_) => None,
        }
    }
}

fn price(micros: i64) -> f64 {
    micros as f64 / 1e6
}

#[derive(Default)]
struct Books {
    count: i64,
    units: i64,
    micros: i64,
    revenue: i128,
    monitored: String,
    prices: Vec<f64>,
    ranking: BTreeMap<String, f64>,
}

/// The expected keys after some records, counted one by one.
#[derive(Default)]
pub struct Model {
    records: usize,
    seen: BTreeSet<(String, Vec<u8>)>,
    total: i64,
    categories: BTreeMap<&'static str, Books>,
    ranking: BTreeMap<String, f64>,
    max: f64,
    min: Option<f64>,
}

impl Model {
    /// The expected content of the store after these records.
    pub fn contents(records: &[Record]) -> Contents {
        let mut model = Self::default();
        records.iter().for_each(|record| model.count(record));
        model.keys()
    }

    fn count(&mut self, record: &Record) {
        self.records += 1;
        let Record::Sale { category, product, micros, quantity, .. } = record else { return };
        if let (Some(key), Some(value)) = (record.key(), record.value())
            && !self.seen.insert((key, value))
        {
            return;
        }
        let books = self.categories.entry(Category::from_number(*category).name()).or_default();
        if books.count == 0 {
            books.monitored = product.clone();
        }
        if books.monitored == *product {
            books.prices.push(price(*micros));
        }
        books.count += 1;
        books.units += i64::from(*quantity);
        books.micros += micros;
        books.revenue += i128::from(*micros) * i128::from(*quantity);
        *books.ranking.entry(product.clone()).or_default() += f64::from(*quantity);
        *self.ranking.entry(product.clone()).or_default() += f64::from(*quantity);
        self.total += 1;
        self.max = self.max.max(price(*micros));
        self.min = Some(self.min.map_or(price(*micros), |min| min.min(price(*micros))));
    }

    fn keys(self) -> Contents {
        let text = |number: i64| Content::Text(number.to_string());
        let fields = |value: String| Content::Fields([("2".to_owned(), value)].into());
        let mut keys = Contents::from([
            ("offset:g:t".to_owned(), fields(self.records.to_string())),
            ("offset_log:g:t".to_owned(), fields("cluster/topic".to_owned())),
        ]);
        if let Some(min) = self.min {
            keys.insert("total_ventas".into(), text(self.total));
            keys.insert("ranking_productos".into(), Content::Scores(self.ranking));
            keys.insert("precio_min_global".into(), Content::Number(min));
        }
        if self.max > 0.0 {
            keys.insert("precio_max_global".into(), Content::Number(self.max));
        }
        for (category, books) in self.categories {
            let (count, sum) = (books.count as f64, decimal(books.micros.into()));
            let revenue = [("total", decimal(books.revenue)), ("ventas", books.count.to_string())];
            let revenue = revenue.map(|(field, value)| (field.to_owned(), value));
            let average = sum.parse::<f64>().unwrap() / count;
            for (key, content) in [
                ("contador", text(books.count)),
                ("suma_cantidad", text(books.units)),
                ("suma_precio_micros", text(books.micros)),
                ("suma_precio", Content::Text(sum)),
                ("promedio_productos", Content::Number(books.units as f64 / count)),
                ("promedio_precio_tag", Content::Number(average)),
                ("producto_monitoreado_nombre", Content::Text(books.monitored)),
                ("stream_precio_producto_unico", Content::Prices(books.prices)),
                ("ranking_productos_cat", Content::Scores(books.ranking)),
                ("ingresos", Content::Fields(revenue.into())),
            ] {
                keys.insert(format!("{key}:{category}"), content);
            }
        }
        keys
    }
}

/// Formats millionths as a decimal without trailing zeros.
fn decimal(micros: i128) -> String {
    let decimal = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    decimal.trim_end_matches('0').trim_end_matches('.').to_owned()
}
