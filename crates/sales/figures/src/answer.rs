//! The answers of the read API. `docs/reference/api.md` lists every field with its unit.

use sale::Category;
use serde::Serialize;

use crate::batch::{Batch, Replies};
use crate::number::{Amount, amount, decimal, integer, score};
use crate::{Error, keys};

/// The figures of all sales.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Totals {
    pub sales: i64,
    pub units: i64,
    pub revenue: Option<Amount>,
    pub average_price: Option<f64>,
    pub price_min: Option<f64>,
    pub price_max: Option<f64>,
}

/// The figures of each category, in the order of [`Category::ALL`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Categories {
    pub categories: Vec<CategoryFigures>,
}

/// The figures of one category.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct CategoryFigures {
    pub categoria: i32,
    pub name: &'static str,
    pub sales: i64,
    pub units: i64,
    pub revenue: Option<Amount>,
    pub price_sum: f64,
    pub average_price: Option<f64>,
    pub average_units: Option<f64>,
    pub monitored_product: Option<String>,
}

/// The products with the most units sold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Ranking {
    pub categoria: Option<i32>,
    pub offset: u32,
    pub limit: u32,
    pub total: i64,
    pub products: Vec<Ranked>,
}

/// A product in a ranking.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Ranked {
    pub rank: u32,
    pub producto_id: String,
    pub units: i64,
}

/// The figures of one product.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Product {
    pub producto_id: String,
    pub rank: i64,
    pub units: i64,
    pub categories: Vec<UnitsInCategory>,
}

/// Number of units of a product that were sold in a category.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct UnitsInCategory {
    pub categoria: i32,
    pub name: &'static str,
    pub units: i64,
}

/// The latest prices of a category's monitored product, the oldest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct MonitoredPrices {
    pub categoria: i32,
    pub producto_id: Option<String>,
    pub prices: Vec<Price>,
}

/// A price, and the time when it was counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Price {
    pub id: String,
    pub time_ms: i64,
    pub price: f64,
}

pub(crate) fn add_totals(batch: &mut Batch) {
    batch.add_mget(&[keys::TOTAL.into(), keys::PRICE_MIN.into(), keys::PRICE_MAX.into()]);
    add_categories(batch);
}

pub(crate) fn parse_totals(replies: &mut Replies) -> Result<Totals, Error> {
    let values = replies.take()?;
    let categories = Categories::parse(replies)?;
    Totals::from_values(&values, &categories.categories)
}

impl Totals {
    /// Creates the answer from the plain values and the figures of the categories.
    pub fn from_values(values: &[String], categories: &[CategoryFigures]) -> Result<Self, Error> {
        let [sales, price_min, price_max] = values else { return Err(Error::Unexpected) };
        let counted = sum(categories.iter().map(|category| category.sales));
        let price_sum: f64 = categories.iter().map(|category| category.price_sum).sum();
        Ok(Self {
            sales: integer(keys::TOTAL, sales)?,
            units: sum(categories.iter().map(|category| category.units)),
            revenue: categories.iter().try_fold(Amount::default(), |sum, category| {
                category.revenue.map(|revenue| sum.plus(revenue))
            }),
            average_price: (counted > 0).then(|| price_sum / counted as f64),
            price_min: decimal(keys::PRICE_MIN, price_min)?,
            price_max: decimal(keys::PRICE_MAX, price_max)?,
        })
    }
}

/// The sum without overflow: another program may have written any numbers into the keys.
fn sum(numbers: impl Iterator<Item = i64>) -> i64 {
    numbers.fold(0, i64::saturating_add)
}

pub(crate) fn add_categories(batch: &mut Batch) {
    let names: Vec<String> = Category::ALL.into_iter().flat_map(keys::values).collect();
    batch.add_mget(&names);
    for category in Category::ALL {
        batch.add_keyed("HMGET", &keys::revenue(category), &keys::REVENUE_FIELDS);
    }
}

impl Categories {
    pub fn parse(replies: &mut Replies) -> Result<Self, Error> {
        let values = replies.take()?;
        let parts = values.chunks(keys::VALUES_OF_CATEGORY);
        let categories = Category::ALL.into_iter().zip(parts);
        let categories =
            categories.map(|(category, values)| figures(category, values, &replies.take()?));
        Ok(Self { categories: categories.collect::<Result<_, _>>()? })
    }
}

fn figures(
    category: Category,
    values: &[String],
    revenue: &[String],
) -> Result<CategoryFigures, Error> {
    let [sales, units, price_sum, average_units, average_price, monitored] = values else {
        return Err(Error::Unexpected);
    };
    let names: Vec<String> = keys::values(category).collect();
    let [sales_key, units_key, sum_key, average_units_key, average_price_key, _] = &names[..]
    else {
        return Err(Error::Unexpected);
    };
    let sales = integer(sales_key, sales)?;
    Ok(CategoryFigures {
        categoria: keys::number(category),
        name: category.name(),
        sales,
        units: integer(units_key, units)?,
        revenue: revenue_of(category, sales, revenue)?,
        price_sum: decimal(sum_key, price_sum)?.unwrap_or_default(),
        average_price: decimal(average_price_key, average_price)?,
        average_units: decimal(average_units_key, average_units)?,
        monitored_product: (!monitored.is_empty()).then(|| monitored.clone()),
    })
}

/// The revenue of a category; `None` if it does not include all sales, because an earlier version
/// of the aggregator counted some of them without their revenue.
fn revenue_of(category: Category, sales: i64, values: &[String]) -> Result<Option<Amount>, Error> {
    let [total, included] = values else { return Err(Error::Unexpected) };
    if sales == 0 {
        return Ok(Some(Amount::default()));
    }
    let key = keys::revenue(category);
    let is_complete = integer(&key, included)? == sales;
    is_complete.then(|| amount(&key, total)).transpose()
}

pub(crate) fn add_ranking(batch: &mut Batch, category: Option<Category>, offset: u32, limit: u32) {
    let key = keys::ranking(category);
    let (first, last) = (offset.to_string(), offset.saturating_add(limit - 1).to_string());
    batch.add_keyed("ZCARD", &key, &[]);
    batch.add_keyed("ZRANGE", &key, &[&first, &last, "REV", "WITHSCORES"]);
}

pub(crate) fn parse_ranking(
    replies: &mut Replies,
    category: Option<Category>,
    offset: u32,
    limit: u32,
) -> Result<Ranking, Error> {
    let key = keys::ranking(category);
    let total = integer(&key, &replies.take_value()?)?;
    let values = replies.take()?;
    let products = values.as_chunks().0.iter().zip(offset + 1..);
    let products = products.map(|([id, units], rank)| {
        Ok(Ranked { rank, producto_id: id.clone(), units: score(&key, units)? })
    });
    let products = products.collect::<Result<_, Error>>()?;
    Ok(Ranking { categoria: category.map(keys::number), offset, limit, total, products })
}

pub(crate) fn add_product(batch: &mut Batch, id: &str) {
    batch.add_keyed("ZREVRANK", &keys::ranking(None), &[id]);
    batch.add_keyed("ZSCORE", &keys::ranking(None), &[id]);
    for category in Category::ALL {
        batch.add_keyed("ZSCORE", &keys::ranking(Some(category)), &[id]);
    }
}

pub(crate) fn parse_product(replies: &mut Replies, id: &str) -> Result<Product, Error> {
    let all = keys::ranking(None);
    let (rank, units) = (replies.take_value()?, replies.take_value()?);
    if rank.is_empty() {
        return Err(Error::UnknownProduct(id.into()));
    }
    let mut categories = Vec::new();
    for category in Category::ALL {
        let units = replies.take_value()?;
        if !units.is_empty() {
            let units = score(&keys::ranking(Some(category)), &units)?;
            let (categoria, name) = (keys::number(category), category.name());
            categories.push(UnitsInCategory { categoria, name, units });
        }
    }
    let rank = integer(&all, &rank)? + 1;
    Ok(Product { producto_id: id.into(), rank, units: score(&all, &units)?, categories })
}

pub(crate) fn add_prices(batch: &mut Batch, category: Category, limit: u32) {
    batch.add_keyed("XREVRANGE", &keys::prices(category), &["+", "-", "COUNT", &limit.to_string()]);
}

impl MonitoredPrices {
    /// Takes the replies to the commands of [`add_prices`].
    pub fn parse(replies: &mut Replies, category: Category, name: String) -> Result<Self, Error> {
        let key = keys::prices(category);
        let values = replies.take()?;
        // Each entry consists of its id, and the name and value of its only field.
        let entries = values.as_chunks().0.iter().rev();
        let prices = entries.map(|[id, _field, price]| Price::parse(&key, id, price));
        Ok(Self {
            categoria: keys::number(category),
            producto_id: (!name.is_empty()).then_some(name),
            prices: prices.collect::<Result<_, _>>()?,
        })
    }
}

impl Price {
    fn parse(key: &str, id: &str, price: &str) -> Result<Self, Error> {
        let time = id.split_once('-').map_or(id, |(time, _)| time);
        let price = decimal(key, price)?.ok_or(Error::Unexpected)?;
        Ok(Self { id: id.into(), time_ms: integer(key, time)?, price })
    }
}
