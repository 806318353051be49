//! The changes to the counts that result from a batch.

use std::collections::{BTreeMap, HashMap};

use sale::{Category, Sale};

/// Number of entries to which the price streams are trimmed.
pub const STREAM_LENGTH: u32 = 1_000;

/// The sums over the sales of a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delta<'a> {
    /// Number of sales.
    pub count: i64,
    /// Highest and lowest price, in this order; None if there are no sales.
    pub price_range: Option<(f64, f64)>,
    /// The categories that occur in the batch.
    pub categories: BTreeMap<Category, CategoryDelta<'a>>,
}

/// The sums over the sales of one category.
#[derive(Debug, Clone, PartialEq)]
pub struct CategoryDelta<'a> {
    /// Number of sales.
    pub count: i64,
    /// Units sold.
    pub units: i64,
    /// Sum of the prices in millionths. It saturates at the limits of its type. Nine million sales at
    /// the highest price fit, many more than a batch can have.
    pub price_micros: i64,
    /// Sum of price × units, in millionths. One sale has at most 10^18, so the type cannot overflow.
    pub revenue_micros: i128,
    /// The product of the category's first sale. It becomes the monitored product if there is none
    /// yet.
    pub first: &'a str,
    /// Units sold, by product.
    pub products: HashMap<&'a str, i64>,
}

impl<'a> Delta<'a> {
    /// Sums up the sales.
    pub fn from_sales(sales: impl IntoIterator<Item = &'a Sale>) -> Self {
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
        let category =
            self.categories.entry(Category::from_number(sale.category)).or_insert_with(|| {
                CategoryDelta {
                    count: 0,
                    units: 0,
                    price_micros: 0,
                    revenue_micros: 0,
                    first: &sale.product_id,
                    products: HashMap::new(),
                }
            });
        category.count += 1;
        category.units += i64::from(sale.quantity);
        category.price_micros = category.price_micros.saturating_add(sale.price_micros());
        let revenue = sale.price_micros().saturating_mul(i64::from(sale.quantity));
        category.revenue_micros += i128::from(revenue);
        *category.products.entry(&sale.product_id).or_default() += i64::from(sale.quantity);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sale::MICROS_PER_UNIT;

    use super::*;

    /// A sale, and its price in millionths before the conversion to a floating-point number.
    fn sale() -> impl Strategy<Value = (Sale, i64)> {
        (0..7i32, 0..4u8, 0..=1_000_000_000_000i64, 1..=sale::QUANTITY_MAX).prop_map(
            |(category, product, micros, quantity)| {
                let price = micros as f64 / MICROS_PER_UNIT;
                (Sale { category, product_id: format!("p{product}"), price, quantity }, micros)
            },
        )
    }

    proptest! {
        #[test]
        fn adds_up_exactly(sales in prop::collection::vec(sale(), 0..200)) {
            let delta = Delta::from_sales(sales.iter().map(|(sale, _)| sale));
            prop_assert_eq!(delta.count, sales.len() as i64);
            for category in Category::ALL {
                let is_in = |sale: &Sale| Category::from_number(sale.category) == category;
                let of = || sales.iter().filter(|(sale, _)| is_in(sale));
                let Some(part) = delta.categories.get(&category) else {
                    prop_assert_eq!(of().count(), 0);
                    continue;
                };
                prop_assert_eq!(part.count, of().count() as i64);
                prop_assert_eq!(part.price_micros, of().map(|(_, micros)| micros).sum::<i64>());
                let revenue = of().map(|(s, micros)| i128::from(*micros) * i128::from(s.quantity));
                prop_assert_eq!(part.revenue_micros, revenue.sum::<i128>());
                prop_assert_eq!(part.units, part.products.values().sum::<i64>());
                for (product, units) in &part.products {
                    let sold = of().filter(|(s, _)| s.product_id == *product);
                    let sold: i64 = sold.map(|(s, _)| i64::from(s.quantity)).sum();
                    prop_assert_eq!(*units, sold);
                }
            }
        }
    }

    #[test]
    fn the_range_contains_every_price() {
        let sale = |price| Sale { category: 1, product_id: "tv".into(), price, quantity: 1 };
        let sales = [sale(2.0), sale(0.5), sale(7.25), sale(1.0)];
        assert_eq!(Delta::from_sales(&sales).price_range, Some((7.25, 0.5)));
        assert_eq!(Delta::from_sales([]).price_range, None);
    }
}
