//! Everything that the live page shows, at one moment.

use sale::Category;
use serde::Serialize;

use crate::answer::{self, Categories, CategoryFigures, MonitoredPrices, Ranking, Totals};
use crate::batch::{Batch, Replies};
use crate::query::json;
use crate::{Error, Etag, Query, keys};

/// Number of products in the ranking of all categories, and in that of each category.
const PRODUCTS: u32 = 8;
const PRODUCTS_OF_CATEGORY: u32 = 5;

/// Number of prices of each monitored product.
const PRICES: u32 = 60;

/// All figures at one moment. `time_ms` is not part of them, because it changes even without a
/// sale.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    totals: Totals,
    categories: Vec<CategoryFigures>,
    rankings: Vec<Ranking>,
    prices: Vec<MonitoredPrices>,
    #[serde(skip)]
    time_ms: i64,
}

/// A snapshot in JSON, which is written once for all viewers.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Valkey's time when the figures were read, in milliseconds since 1970-01-01 UTC.
    pub time_ms: i64,
    /// The entity tag of the figures, which changes only when a sale is counted.
    pub etag: Etag,
    /// The figures as a JSON object.
    pub json: Vec<u8>,
}

impl Snapshot {
    /// The command that fetches the figures. `prefix` is the aggregator's variable `key_prefix`.
    pub fn command(prefix: &str) -> Vec<Vec<u8>> {
        Query::Snapshot.command(prefix)
    }

    /// Creates the snapshot from the reply to the command.
    pub fn from_reply(reply: Result<Vec<String>, String>) -> Result<Self, Error> {
        let figures = parse(&mut Replies::new(reply.map_err(Error::from_server)?))?;
        let json = json(&figures);
        Ok(Self { time_ms: figures.time_ms, etag: Etag::new(&json), json })
    }
}

/// The rankings: the category, and the number of products.
fn rankings() -> impl Iterator<Item = (Option<Category>, u32)> {
    let each = Category::ALL.map(|category| (Some(category), PRODUCTS_OF_CATEGORY));
    std::iter::once((None, PRODUCTS)).chain(each)
}

pub(crate) fn add_commands(batch: &mut Batch) {
    batch.add(&["TIME"]);
    answer::add_totals(batch);
    for (category, limit) in rankings() {
        answer::add_ranking(batch, category, 0, limit);
    }
    for category in Category::ALL {
        answer::add_prices(batch, category, PRICES);
    }
}

pub(crate) fn parse(replies: &mut Replies) -> Result<Figures, Error> {
    let time_ms = time_ms(&replies.take()?).ok_or(Error::Unexpected)?;
    let values = replies.take()?;
    let categories = Categories::parse(replies)?.categories;
    let totals = Totals::from_values(&values, &categories)?;
    let rankings = rankings()
        .map(|(category, limit)| answer::parse_ranking(replies, category, 0, limit))
        .collect::<Result<_, _>>()?;
    let mut prices = Vec::new();
    for (category, figures) in Category::ALL.into_iter().zip(&categories) {
        let name = figures.monitored_product.clone().unwrap_or_default();
        debug_assert_eq!(keys::number(category), figures.categoria);
        prices.push(MonitoredPrices::parse(replies, category, name)?);
    }
    Ok(Figures { totals, categories, rankings, prices, time_ms })
}

/// The reply to `TIME` consists of seconds and microseconds.
fn time_ms(values: &[String]) -> Option<i64> {
    let [seconds, micros] = values else { return None };
    let (seconds, micros): (i64, i64) = (seconds.parse().ok()?, micros.parse().ok()?);
    seconds.checked_mul(1_000)?.checked_add(micros / 1_000)
}
