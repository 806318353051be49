//! What the contenders write to Valkey.

use anyhow::Result;
use redis::aio::MultiplexedConnection;

use crate::contender::Names;

/// The number of counted sales.
pub async fn counted(valkey: &mut MultiplexedConnection) -> Result<u64> {
    let count: Option<u64> = redis::cmd("GET").arg("total_ventas").query_async(valkey).await?;
    Ok(count.unwrap_or(0))
}

/// The number of records of the topic that the group has applied.
pub async fn applied(valkey: &mut MultiplexedConnection, names: Names<'_>) -> Result<u64> {
    let key = format!("offset:{}:{}", names.group, names.topic);
    let positions: Vec<u64> = redis::cmd("HVALS").arg(key).query_async(valkey).await?;
    Ok(positions.iter().sum())
}

/// For each of these products, whether a sale of it is counted.
pub async fn have_sales(
    valkey: &mut MultiplexedConnection,
    products: &[&str],
) -> Result<Vec<bool>> {
    let mut command = redis::cmd("ZMSCORE");
    let scores: Vec<Option<f64>> =
        command.arg("ranking_productos").arg(products).query_async(valkey).await?;
    Ok(scores.iter().map(Option::is_some).collect())
}

/// The memory that Valkey uses for its data, in MiB.
pub async fn used_memory_mib(valkey: &mut MultiplexedConnection) -> Result<f64> {
    let info: String = redis::cmd("INFO").arg("memory").query_async(valkey).await?;
    let bytes =
        info.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok());
    let bytes: u64 = anyhow::Context::context(bytes, "INFO memory has no used_memory")?;
    Ok(bytes as f64 / f64::from(1 << 20))
}
