//! The queries of the read API.

use intake::Problem;
use percent_encoding::percent_decode_str;
use sale::{Category, PRODUCT_ID_BYTES_MAX, Violation};

use crate::batch::{Batch, Replies};
use crate::params::Params;
use crate::{Error, answer, keys, snapshot};

/// Default and maximum of `limit` for products.
const PRODUCTS: u32 = 10;
const PRODUCTS_MAX: u32 = 100;

/// Maximum of `offset`.
const OFFSET_MAX: u32 = 1_000_000;

/// Default and maximum of `limit` for prices. The aggregator keeps 1,000 prices.
const PRICES: u32 = 100;
const PRICES_MAX: u32 = 1_000;

/// A query for figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// `totals`: the figures of all sales.
    Totals,
    /// `categories`: the figures of each category.
    Categories,
    /// `rankings`: the products with the most units sold.
    Rankings {
        /// Only of this category; `None` for all.
        category: Option<Category>,
        /// Number of products to skip.
        offset: u32,
        /// Maximum number of products.
        limit: u32,
    },
    /// `products/{id}`: one product.
    Product(String),
    /// `prices`: the latest prices of a category's monitored product.
    Prices {
        /// The category.
        category: Category,
        /// Maximum number of prices.
        limit: u32,
    },
    /// `snapshot`: everything that the live page shows.
    Snapshot,
}

impl Query {
    /// Parses the path below `/api/v1/` and the query string. Returns `None` if there is no such
    /// resource.
    pub fn parse(path: &str, query: &str) -> Result<Option<Self>, Problem> {
        let mut params = Params::parse(query);
        let parsed = match path {
            "totals" => Self::Totals,
            "categories" => Self::Categories,
            "snapshot" => Self::Snapshot,
            "rankings" => Self::Rankings {
                category: params.category()?,
                offset: params.integer("offset", 0, 0, OFFSET_MAX)?,
                limit: params.integer("limit", PRODUCTS, 1, PRODUCTS_MAX)?,
            },
            "prices" => Self::Prices {
                category: params.category()?.ok_or_else(|| {
                    Violation::new("categoria", "is required: a category's number")
                })?,
                limit: params.integer("limit", PRICES, 1, PRICES_MAX)?,
            },
            _ => match path.strip_prefix("products/") {
                Some(id) if !id.contains('/') => Self::Product(product_id(id)?),
                _ => return Ok(None),
            },
        };
        params.end()?;
        Ok(Some(parsed))
    }

    /// The command that fetches the figures. `prefix` is the aggregator's variable `key_prefix`.
    pub fn command(&self, prefix: &str) -> Vec<Vec<u8>> {
        let mut batch = Batch::new(prefix);
        match self {
            Self::Totals => answer::add_totals(&mut batch),
            Self::Categories => answer::add_categories(&mut batch),
            Self::Rankings { category, offset, limit } => {
                answer::add_ranking(&mut batch, *category, *offset, *limit);
            }
            Self::Product(id) => answer::add_product(&mut batch, id),
            Self::Prices { category, limit } => {
                batch.add_mget(&[keys::monitored(*category)]);
                answer::add_prices(&mut batch, *category, *limit);
            }
            Self::Snapshot => snapshot::add_commands(&mut batch),
        }
        batch.command()
    }

    /// The answer as JSON, given the reply to the command: its values, or the error of the server.
    pub fn answer(&self, reply: Result<Vec<String>, String>) -> Result<Vec<u8>, Error> {
        let mut replies = Replies::new(reply.map_err(Error::from_server)?);
        let replies = &mut replies;
        Ok(match self {
            Self::Totals => json(&answer::parse_totals(replies)?),
            Self::Categories => json(&answer::Categories::parse(replies)?),
            Self::Rankings { category, offset, limit } => {
                json(&answer::parse_ranking(replies, *category, *offset, *limit)?)
            }
            Self::Product(id) => json(&answer::parse_product(replies, id)?),
            Self::Prices { category, .. } => {
                let name = replies.take_value()?;
                json(&answer::MonitoredPrices::parse(replies, *category, name)?)
            }
            Self::Snapshot => json(&snapshot::parse(replies)?),
        })
    }
}

fn product_id(encoded: &str) -> Result<String, Violation> {
    let wrong = |reason: String| Violation::new("producto_id", reason);
    let decoded = percent_decode_str(encoded).decode_utf8();
    let id = decoded.map_err(|_| wrong("must be UTF-8".into()))?.into_owned();
    if id.is_empty() || id.len() > PRODUCT_ID_BYTES_MAX {
        return Err(wrong(format!("must be 1 to {PRODUCT_ID_BYTES_MAX} bytes long")));
    }
    Ok(id)
}

/// Writing numbers and strings to memory cannot fail.
pub(crate) fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(path: &str, query: &str) -> String {
        let problem = Query::parse(path, query).unwrap_err();
        assert_eq!(problem.status, 400);
        problem.field.unwrap().into_owned()
    }

    #[test]
    fn questions_and_their_defaults() {
        let parse = |path, query| Query::parse(path, query).unwrap();
        assert_eq!(parse("totals", ""), Some(Query::Totals));
        let ranking = |category, offset, limit| Some(Query::Rankings { category, offset, limit });
        assert_eq!(parse("rankings", ""), ranking(None, 0, 10));
        assert_eq!(
            parse("rankings", "categoria=2&limit=100&offset=1000000"),
            ranking(Some(Category::Ropa), 1_000_000, 100)
        );
        assert_eq!(parse("rankings", "categori%61=%39"), ranking(Some(Category::Otros), 0, 10));
        assert_eq!(parse("products/a%2Fb%20%C3%B1", ""), Some(Query::Product("a/b ñ".into())));
        for path in ["", "total", "totals/", "products", "products/a/b", "Totals"] {
            assert_eq!(parse(path, ""), None, "{path}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for query in ["limit=0", "limit=101", "limit=-1", "limit=", "limit=1&limit=2", "limit=1.0"]
        {
            assert_eq!(field("rankings", query), "limit", "{query}");
        }
        assert_eq!(field("rankings", "offset=1000001"), "offset");
        assert_eq!(field("rankings", "categoria=Ropa"), "categoria");
        assert_eq!(field("rankings", "categoria=99999999999"), "categoria");
        assert_eq!(field("prices", ""), "categoria");
        assert_eq!(field("totals", "limit=1"), "limit");
        assert_eq!(field("products/", ""), "producto_id");
        assert_eq!(field(&format!("products/{}", "x".repeat(129)), ""), "producto_id");
        assert_eq!(field("products/%ff", ""), "producto_id");
    }
}
