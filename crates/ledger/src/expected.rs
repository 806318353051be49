//! What Valkey must hold: a recount, one sale at a time, sharing no code with the aggregator.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use rust_decimal::prelude::{FromPrimitive as _, ToPrimitive as _};
use sale::{Category, Sale};

/// Places behind the point to which prices are summed; the contract's resolution.
const PRICE_PLACES: u32 = 6;

/// What is counted for one category.
#[derive(Debug, Clone, Default)]
pub struct CategoryBooks {
    /// `contador:<cat>`
    pub count: u64,
    /// `suma_cantidad:<cat>`
    pub quantity: i64,
    /// `suma_precio:<cat>`, exact
    pub price: Decimal,
    /// `ranking_productos_cat:<cat>`
    pub ranking: BTreeMap<String, i64>,
    /// Prices seen of each product, for the stream of the monitored one.
    pub prices: BTreeMap<String, BTreeSet<u64>>,
    /// Sales of each product.
    pub sales: BTreeMap<String, u64>,
}

/// What all accepted sales add up to.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// By the category's name.
    pub categories: BTreeMap<&'static str, CategoryBooks>,
    /// `total_ventas`
    pub total: u64,
    /// `ranking_productos`
    pub ranking: BTreeMap<String, i64>,
    /// `precio_max_global`
    pub price_max: Option<f64>,
    /// `precio_min_global`
    pub price_min: Option<f64>,
}

impl Expected {
    /// Counts one sale.
    pub fn add(&mut self, sale: &Sale) {
        let books = self.categories.entry(Category::of(sale.category).name()).or_default();
        books.count += 1;
        books.quantity += i64::from(sale.quantity);
        // Decimal reads the shortest decimal that names the number, as a person would.
        let price = Decimal::from_f64(sale.price).unwrap_or_default().round_dp(PRICE_PLACES);
        books.price += price;
        *books.ranking.entry(sale.product_id.clone()).or_default() += i64::from(sale.quantity);
        *books.sales.entry(sale.product_id.clone()).or_default() += 1;
        books.prices.entry(sale.product_id.clone()).or_default().insert(sale.price.to_bits());
        self.total += 1;
        *self.ranking.entry(sale.product_id.clone()).or_default() += i64::from(sale.quantity);
        // The original's maximum starts from zero and is stored only when exceeded.
        if sale.price > self.price_max.unwrap_or(0.0) {
            self.price_max = Some(sale.price);
        }
        if self.price_min.is_none_or(|min| sale.price < min) {
            self.price_min = Some(sale.price);
        }
    }
}

impl CategoryBooks {
    /// `promedio_productos:<cat>`
    pub fn quantity_average(&self) -> f64 {
        self.quantity as f64 / self.count as f64
    }

    /// `promedio_precio_tag:<cat>`
    pub fn price_average(&self) -> f64 {
        self.price.to_f64().unwrap_or(f64::NAN) / self.count as f64
    }
}
