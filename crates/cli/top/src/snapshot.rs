//! The figures of the sales, as the read API answers them at `/api/v1/snapshot`.

use serde::Deserialize;

/// All figures at one moment.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Snapshot {
    /// All sales together.
    pub totals: Totals,
    /// Each category.
    pub categories: Vec<Category>,
    /// The products of all categories by units sold, then those of each category.
    pub rankings: Vec<Ranking>,
    /// The prices of the monitored product of each category.
    pub prices: Vec<Prices>,
}

/// All sales together.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Totals {
    /// Sales counted.
    pub sales: u64,
    /// Units sold.
    pub units: u64,
    /// Mean of the unit prices of the sales.
    pub average_price: Option<f64>,
    /// Lowest unit price.
    pub price_min: Option<f64>,
    /// Highest unit price.
    pub price_max: Option<f64>,
}

/// One category.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Category {
    /// The number.
    pub categoria: u32,
    /// The name.
    pub name: String,
    /// Sales counted.
    pub sales: u64,
    /// Units sold.
    pub units: u64,
    /// Mean of the unit prices of the sales.
    pub average_price: Option<f64>,
    /// The product whose prices are kept.
    pub monitored_product: Option<String>,
}

/// Products by units sold.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Ranking {
    /// The category; `None` for all.
    pub categoria: Option<u32>,
    /// Number of products in the whole ranking.
    pub total: u64,
    /// The first products.
    pub products: Vec<Ranked>,
}

/// A product in a ranking.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Ranked {
    /// The place.
    pub rank: u64,
    /// The product.
    pub producto_id: String,
    /// Units sold.
    pub units: u64,
}

/// The latest prices of a monitored product, oldest first.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Prices {
    /// The category.
    pub categoria: u32,
    /// The prices.
    pub prices: Vec<Price>,
}

/// The unit price of a sale.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Price {
    /// The price.
    pub price: f64,
}
