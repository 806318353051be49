//! The changes of the keys that result from the sales of a batch.

use sale::{Category, Sale};
use spin_kafka_state::{Decimal, State};

use crate::delta::{CategoryDelta, Delta, STREAM_LENGTH};
use crate::keys::{self, Keys};
use crate::known::{self, Known, PriceSum};

/// Digits after the point of a price in millionths.
const MICROS: u32 = 6;

/// The changes for these sales, if the stored values are those that are known.
pub(crate) fn of<'a>(sales: impl Iterator<Item = &'a Sale> + Clone, known: &Known) -> State {
    let delta = Delta::from_sales(sales.clone());
    let mut state = State::default();
    if let Some((highest, lowest)) = delta.price_range {
        state.increment(keys::TOTAL, delta.count);
        state.minimum(keys::LOWEST_PRICE, lowest);
        // The maximum starts at zero, as in the original system: a price of zero is never stored.
        if highest > 0.0 {
            state.maximum(keys::HIGHEST_PRICE, highest);
        }
    }
    for (category, part) in &delta.categories {
        count(&mut state, *category, part, sales.clone(), known);
    }
    state
}

fn count<'a>(
    state: &mut State,
    category: Category,
    part: &CategoryDelta<'_>,
    sales: impl Iterator<Item = &'a Sale>,
    known: &Known,
) {
    let (keys, stored) = (Keys::of(category), known.of(category));
    stored.record(&keys, state);
    if let PriceSum::Inexact(sum) = &stored.price
        && let Some(micros) = known::micros(sum)
    {
        state.set(&keys.price_micros, micros.to_string());
        state.set(&keys.price, decimal(micros.into()).to_string());
    }
    state.increment(&keys.count, part.count);
    state.increment(&keys.units, part.units);
    state.increment(&keys.price_micros, part.price_micros);
    state.add(&keys.price, decimal(part.price_micros.into()));
    state.quotient(&keys.units_average, &*keys.units, &*keys.count);
    state.quotient(&keys.price_average, &*keys.price, &*keys.count);
    let mut revenue = state.hash(&keys.revenue);
    revenue.add(keys::REVENUE, decimal(part.revenue_micros));
    revenue.increment(keys::REVENUE_SALES, part.count);
    // An earlier version, or another program, counted sales without their revenue: it would stay too
    // small.
    revenue.delete_unless_equal(keys::REVENUE_SALES, &*keys.count);

    let monitored = stored.monitored.as_deref().unwrap_or(part.first);
    if stored.monitored.is_none() {
        state.set(&keys.monitored, monitored);
    }
    let is_monitored = |sale: &&Sale| {
        Category::from_number(sale.category) == category && sale.product_id == monitored
    };
    for sale in sales.filter(is_monitored) {
        // The shortest decimal that parses to the same number, never with an exponent.
        state.append(&keys.prices, STREAM_LENGTH, &[("precio", sale.price.to_string())]);
    }
    let products = || part.products.iter().map(|(product, units)| (product, *units as f64));
    state.add_scores(keys::RANKING, products());
    state.add_scores(&keys.ranking, products());
}

/// A number of millionths. A batch has less than 2^31 sales of at most 10^18 millionths, so its sums
/// are below the limit of a decimal, which is 10^33 millionths.
fn decimal(micros: i128) -> Decimal {
    Decimal::with_scale(micros, MICROS).unwrap_or_default()
}
