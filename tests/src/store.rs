//! Access to the pipeline's Valkey.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;

/// A connection to Valkey.
pub struct Store(MultiplexedConnection);

impl Store {
    /// Connects. If the URL has several servers, connects to the primary.
    pub async fn connect(url: &str) -> Result<Self> {
        Ok(Self(ledger::connect(url).await?))
    }

    /// A string value; None if the key does not exist.
    pub async fn get(&self, key: &str) -> Option<String> {
        self.0.clone().get(key).await.ok().flatten()
    }

    /// The number of counted sales.
    pub async fn total(&self) -> u64 {
        self.get("total_ventas").await.and_then(|total| total.parse().ok()).unwrap_or(0)
    }

    /// Sends a command whose reply is only OK.
    pub async fn command(&self, words: &[&str]) -> Result<()> {
        let mut command = redis::Cmd::new();
        words.iter().for_each(|word| {
            command.arg(*word);
        });
        Ok(command.query_async(&mut self.0.clone()).await?)
    }

    /// Sets a configuration parameter of the server.
    pub async fn configure(&self, setting: &str, value: &str) -> Result<()> {
        self.command(&["CONFIG", "SET", setting, value]).await
    }

    /// A section of the reply to INFO.
    pub async fn info(&self, section: &str) -> Result<String> {
        Ok(redis::cmd("INFO").arg(section).query_async(&mut self.0.clone()).await?)
    }

    /// All fields of a hash.
    pub async fn fields(&self, key: &str) -> Result<BTreeMap<String, String>> {
        Ok(self.0.clone().hgetall(key).await?)
    }

    /// All values of a list.
    pub async fn list(&self, key: &str) -> Result<Vec<String>> {
        Ok(self.0.clone().lrange(key, 0, -1).await?)
    }

    /// The sum of an aggregate of the requests over all minutes, for each series
    /// (`examples/request-counts`).
    pub async fn request_sums(&self, aggregate: &str) -> Result<BTreeMap<String, u64>> {
        let prefix = format!("{{requests:1}}:{aggregate}:");
        let mut sums = BTreeMap::new();
        for key in self.keys().await? {
            let Some(minute) = key.strip_prefix(&prefix) else { continue };
            ensure!(minute.parse::<u64>()?.is_multiple_of(60), "{key}");
            for (series, count) in self.fields(&key).await? {
                *sums.entry(series).or_default() += count.parse::<u64>()?;
            }
        }
        Ok(sums)
    }

    /// The score of a member of a sorted set.
    pub async fn score(&self, key: &str, member: &str) -> Option<f64> {
        self.0.clone().zscore(key, member).await.ok().flatten()
    }

    /// Deletes all keys.
    pub async fn flush(&self) -> Result<()> {
        self.command(&["FLUSHALL"]).await
    }

    /// The names of all keys.
    pub async fn keys(&self) -> Result<Vec<String>> {
        Ok(self.0.clone().keys("*").await?)
    }

    /// The string values, hashes and sorted sets that do not depend on the order in which sales of
    /// different partitions are counted.
    pub async fn ordered_keys(&self) -> Result<BTreeMap<String, String>> {
        let mut store = self.0.clone();
        let keys = self.keys().await?;
        let mut values = BTreeMap::new();
        for key in keys {
            let kind: String = redis::cmd("TYPE").arg(&key).query_async(&mut store).await?;
            let by_order = ["producto_monitoreado", "offset", "claims", "seen"];
            let by_order = by_order.iter().any(|name| key.starts_with(name));
            match kind.as_str() {
                "string" if !by_order => {
                    values.insert(key.clone(), store.get(&key).await?);
                }
                "hash" if !by_order => {
                    values.insert(key.clone(), format!("{:?}", self.fields(&key).await?));
                }
                "zset" => {
                    let members: BTreeMap<String, String> = store
                        .zrange_withscores::<_, Vec<(String, String)>>(&key, 0, -1)
                        .await?
                        .into_iter()
                        .collect();
                    values.insert(key, format!("{members:?}"));
                }
                _ => {}
            }
        }
        Ok(values)
    }
}
