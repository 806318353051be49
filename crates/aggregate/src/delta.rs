//! What a batch adds.

use std::collections::{BTreeMap, HashMap};

use sale::{Category, Sale};

/// Sums of prices are kept in millionths of the currency's unit: exact for any price that
/// people write, and the same however sales are split into batches.
pub const MICROS_PER_UNIT: f64 = 1_000_000.0;

/// Entries that the price streams are trimmed to; of a batch no more can remain.
pub const STREAM_LENGTH: usize = 1_000;

/// What the sales of a batch add up to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delta<'a> {
    /// Number of sales.
    pub count: u64,
    /// Highest and lowest price; none without sales.
    pub price_range: Option<(f64, f64)>,
    /// By category, those that occur.
    pub categories: BTreeMap<Category, CategoryDelta<'a>>,
}

/// What one category gets.
#[derive(Debug, Clone, PartialEq)]
pub struct CategoryDelta<'a> {
    /// Number of sales.
    pub count: u64,
    /// Units sold.
    pub units: i64,
    /// Sum of the prices in millionths. A batch of a million records at the highest price
    /// stays below 2^63.
    pub price_micros: i64,
    /// The product of the category's first sale.
    pub first: &'a str,
    /// Units by product.
    pub products: HashMap<&'a str, i64>,
}

impl<'a> Delta<'a> {
    /// Adds up the sales.
    pub fn of(sales: impl IntoIterator<Item = &'a Sale>) -> Self {
        let mut delta = Self::default();
        for sale in sales {
            delta.add(sale);
        }
        delta
    }

    fn add(&mut self, sale: &'a Sale) {
        self.count += 1;
        self.price_range = Some(match self.price_range {
            Some((highest, lowest)) => (highest.max(sale.price), lowest.min(sale.price)),
            None => (sale.price, sale.price),
        });
        let category = self.categories.entry(Category::of(sale.category)).or_insert_with(|| {
            CategoryDelta {
                count: 0,
                units: 0,
                price_micros: 0,
                first: &sale.product_id,
                products: HashMap::new(),
            }
        });
        category.count += 1;
        category.units += i64::from(sale.quantity);
        category.price_micros += micros(sale.price);
        *category.products.entry(&sale.product_id).or_default() += i64::from(sale.quantity);
    }
}

/// A price within its limit as millionths: at most 10^12.
fn micros(price: f64) -> i64 {
    (price * MICROS_PER_UNIT).round() as i64
}
