//! The expected counts: a recount, one sale at a time. It shares the parsing of a sale, its
//! category and the rounding of its price with the aggregator, but no code that adds up.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use sale::{Category, Sale};

/// Number of decimals to which prices are summed, as in [`Sale::price_micros`].
const PRICE_PLACES: u32 = 6;

/// The counts of one category.
#[derive(Debug, Clone, Default)]
pub struct CategoryBooks {
    /// `contador:<cat>`: the number of sales.
    pub count: u64,
    /// `suma_cantidad:<cat>`: the units sold.
    pub quantity: i64,
    /// `suma_precio:<cat>`: the exact sum of the prices.
    pub price: Decimal,
    /// `ingresos:<cat>`: the exact sum of price × units.
    pub revenue: Decimal,
    /// `ranking_productos_cat:<cat>`: the units sold of each product.
    pub ranking: BTreeMap<String, i64>,
    /// The prices of each product, as the bits of a double, to check the stream of the monitored
    /// product.
    pub prices: BTreeMap<String, BTreeSet<u64>>,
    /// The number of sales of each product.
    pub sales: BTreeMap<String, u64>,
}

/// The counts of all accepted sales.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The counts by the name of the category.
    pub categories: BTreeMap<&'static str, CategoryBooks>,
    /// `total_ventas`: the number of all sales.
    pub total: u64,
    /// `ranking_productos`: the units sold of each product.
    pub ranking: BTreeMap<String, i64>,
    /// `precio_max_global`: the highest price; None if it is zero or there are no sales.
    pub price_max: Option<f64>,
    /// `precio_min_global`: the lowest price; None if there are no sales.
    pub price_min: Option<f64>,
}

impl Expected {
    /// Counts one sale.
    pub fn add(&mut self, sale: &Sale) {
        let books = self.categories.entry(Category::from_number(sale.category).name()).or_default();
        books.count += 1;
        books.quantity += i64::from(sale.quantity);
        let price = Decimal::new(sale.price_micros(), PRICE_PLACES);
        books.price += price;
        books.revenue += price * Decimal::from(sale.quantity);
        *books.ranking.entry(sale.product_id.clone()).or_default() += i64::from(sale.quantity);
        *books.sales.entry(sale.product_id.clone()).or_default() += 1;
        books.prices.entry(sale.product_id.clone()).or_default().insert(price_bits(sale.price));
        self.total += 1;
        *self.ranking.entry(sale.product_id.clone()).or_default() += i64::from(sale.quantity);
        // In the original system the maximum starts at zero and is stored only if a price exceeds
        // it.
        if sale.price > self.price_max.unwrap_or(0.0) {
            self.price_max = Some(sale.price);
        }
        if self.price_min.is_none_or(|min| sale.price < min) {
            self.price_min = Some(sale.price);
        }
    }
}

/// A price as a map key. Positive and negative zero are the same price.
pub(crate) fn price_bits(price: f64) -> u64 {
    (price + 0.0).to_bits()
}

impl CategoryBooks {
    /// `promedio_productos:<cat>`: the average number of units of a sale.
    pub fn quantity_average(&self) -> f64 {
        self.quantity as f64 / self.count as f64
    }

    /// `promedio_precio_tag:<cat>`: the average price of a sale.
    pub fn price_average(&self) -> f64 {
        self.price.to_f64().unwrap_or(f64::NAN) / self.count as f64
    }
}
