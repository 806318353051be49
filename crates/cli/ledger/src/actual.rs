//! The counts that are stored in Valkey.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use sale::Category;
use valkey_codec::Servers;

/// The stored counts, without conversion.
#[derive(Debug, Clone, Default)]
pub struct Actual {
    /// Keys with a single value, and fields of hashes: the key, a space and the field.
    pub values: BTreeMap<String, String>,
    /// Sorted sets: score by member.
    pub rankings: BTreeMap<String, BTreeMap<String, f64>>,
    /// Streams: the field `precio` of every entry.
    pub streams: BTreeMap<String, Vec<String>>,
}

/// Keys that have a value for each category.
pub(crate) const CATEGORY_VALUES: [&str; 6] = [
    "contador",
    "suma_cantidad",
    "suma_precio",
    "promedio_productos",
    "promedio_precio_tag",
    "producto_monitoreado_nombre",
];

/// The fields of the revenue of a category: the amount, and the number of sales in it.
pub(crate) const REVENUE_FIELDS: [&str; 2] = ["total", "ventas"];

/// Keys that have a single value.
pub(crate) const GLOBAL_VALUES: [&str; 3] =
    ["total_ventas", "precio_max_global", "precio_min_global"];

/// Connects to Valkey. If the URL has several servers, connects to the primary.
pub async fn connect(url: &str) -> Result<MultiplexedConnection> {
    let servers = Servers::parse(url)?;
    let connected = valkey_client::connect(&servers, "").await;
    let (_, connection) =
        connected.with_context(|| format!("cannot connect to Valkey at {servers}"))?;
    Ok(connection)
}

/// The number of sales that were counted so far under this prefix.
pub(crate) async fn total(store: &mut MultiplexedConnection, prefix: &str) -> Result<u64> {
    let key = prefixed(prefix, "total_ventas");
    let total: Option<u64> = store.get(&key).await.with_context(|| format!("cannot read {key}"))?;
    Ok(total.unwrap_or(0))
}

/// The key of the contract in Valkey, if the aggregator's keys begin with this prefix.
pub(crate) fn prefixed(prefix: &str, key: &str) -> String {
    match prefix {
        "" => key.to_owned(),
        prefix => format!("{prefix}:{key}"),
    }
}

impl Actual {
    /// Reads every key of the contract, and the revenue.
    pub async fn read(store: &mut MultiplexedConnection) -> Result<Self> {
        Self::read_prefixed(store, "").await
    }

    /// The same for keys with this prefix, which the names in the result do not have.
    pub async fn read_prefixed(store: &mut MultiplexedConnection, prefix: &str) -> Result<Self> {
        let stored = |key: &str| prefixed(prefix, key);
        let mut actual = Self::default();
        let mut keys: Vec<String> = GLOBAL_VALUES.map(String::from).into();
        let mut rankings = vec!["ranking_productos".to_owned()];
        let mut streams = Vec::new();
        for category in Category::ALL {
            let name = category.name();
            keys.extend(CATEGORY_VALUES.map(|key| format!("{key}:{name}")));
            rankings.push(format!("ranking_productos_cat:{name}"));
            streams.push(format!("stream_precio_producto_unico:{name}"));
        }
        for key in keys {
            let value: Option<String> = store.get(stored(&key)).await?;
            if let Some(value) = value {
                actual.values.insert(key, value);
            }
        }
        for category in Category::ALL {
            let key = format!("ingresos:{}", category.name());
            for field in REVENUE_FIELDS {
                let value: Option<String> = store.hget(stored(&key), field).await?;
                if let Some(value) = value {
                    actual.values.insert(format!("{key} {field}"), value);
                }
            }
        }
        for key in rankings {
            let members: Vec<(String, f64)> = store.zrange_withscores(stored(&key), 0, -1).await?;
            actual.rankings.insert(key, members.into_iter().collect());
        }
        for key in streams {
            let mut range = redis::cmd("XRANGE");
            range.arg(stored(&key)).arg("-").arg("+");
            let entries: Vec<(String, Vec<(String, String)>)> = range.query_async(store).await?;
            let prices = entries.into_iter().flat_map(|(_, fields)| fields);
            let prices = prices.filter(|(field, _)| field == "precio").map(|(_, price)| price);
            actual.streams.insert(key, prices.collect());
        }
        Ok(actual)
    }
}
