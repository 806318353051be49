//! The sales and the products.

use crate::snapshot::{Category, Ranked, Snapshot};
use crate::state::State;
use crate::table::{Cell, Column, Panel, Width};
use crate::text::{UNKNOWN, price, rate, whole};

const CATEGORY_COLUMNS: [Column; 6] = [
    Column::left("CATEGORY", Width::Fixed(11)),
    Column::right("SALES", 10),
    Column::right("UNITS", 10),
    Column::right("AVG PRICE", 10),
    Column::left("MONITORED", Width::Fixed(14)),
    Column::left("ITS PRICES", Width::Rest),
];

const PRODUCT_COLUMNS: [Column; 3] =
    [Column::right("#", 2), Column::left("PRODUCT", Width::Rest), Column::right("UNITS", 9)];

/// The totals and the categories.
pub fn sales(state: &State) -> Panel {
    let window = &state.snapshot.window;
    let snapshot = window.latest();
    let rows = snapshot.map(category_rows).unwrap_or_default();
    let sums = snapshot.map(|snapshot| {
        let totals = &snapshot.totals;
        format!(
            "{} counted, {}/s, {} units, price {} ({} to {})",
            whole(totals.sales),
            rate(window.rate(|snapshot| snapshot.totals.sales as f64)),
            whole(totals.units),
            price(totals.average_price),
            price(totals.price_min),
            price(totals.price_max),
        )
    });
    Panel::new("Sales", sums, &CATEGORY_COLUMNS, rows, "no figures yet")
}

fn category_rows(snapshot: &Snapshot) -> Vec<Vec<Cell>> {
    let row = |category: &Category| {
        let prices = snapshot.prices.iter().find(|prices| prices.categoria == category.categoria);
        let prices = prices.map(|prices| prices.prices.iter().map(|price| price.price).collect());
        vec![
            category.name.as_str().into(),
            whole(category.sales).into(),
            whole(category.units).into(),
            price(category.average_price).into(),
            category.monitored_product.as_deref().unwrap_or(UNKNOWN).into(),
            Cell::Chart(prices.unwrap_or_default()),
        ]
    };
    snapshot.categories.iter().map(row).collect()
}

/// The products with the most units sold.
pub fn products(state: &State) -> Panel {
    let snapshot = state.snapshot.window.latest();
    let ranking =
        snapshot.and_then(|snapshot| snapshot.rankings.iter().find(|all| all.categoria.is_none()));
    let row = |product: &Ranked| {
        vec![
            product.rank.to_string().into(),
            product.producto_id.as_str().into(),
            whole(product.units).into(),
        ]
    };
    let rows = ranking.map(|ranking| ranking.products.iter().map(row).collect());
    let sums = ranking.map(|ranking| format!("top of {}", whole(ranking.total)));
    Panel::new("Products", sums, &PRODUCT_COLUMNS, rows.unwrap_or_default(), "no sales yet")
}
