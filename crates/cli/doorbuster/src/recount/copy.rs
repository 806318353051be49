//! Copies the state of the running application.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use redis::Value;
use redis::aio::MultiplexedConnection;

use super::{Live, PositionKeys, Positions};

/// Maximum number of keys of a store that is copied.
const KEYS_MAX: usize = 100_000;

/// Maximum size of a store that is copied, in bytes. It is read in one atomic step, during which
/// the server replies to no other client.
const BYTES_MAX: u64 = 512 << 20;

/// How long the server may take to send the whole content.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// Number of attempts, because keys can be added while the store is read.
const ATTEMPTS_MAX: u32 = 10;

/// Replaces the content of the private store with that of the running application, as it is at the
/// returned positions.
pub async fn copy(
    live: &mut Live,
    store: &mut MultiplexedConnection,
    positions: &PositionKeys,
) -> Result<Positions> {
    let mut source = live.connection().await?.clone();
    source.set_response_timeout(ANSWER_LIMIT);
    let source = &mut source;
    let mut keys = keys_of(source).await?;
    for _ in 0..ATTEMPTS_MAX {
        check_size(source, &keys).await?;
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        pipeline.cmd("KEYS").arg("*");
        positions.add_to(&mut pipeline);
        for key in &keys {
            pipeline.cmd("DUMP").arg(key).cmd("PTTL").arg(key);
        }
        let replies: Vec<Value> = pipeline.query_async(source).await?;
        let (present, replies) = replies.split_first().context("Valkey sent no reply")?;
        let present: Vec<Vec<u8>> = redis::from_redis_value_ref(present)?;
        let known: HashSet<&Vec<u8>> = keys.iter().collect();
        if present.iter().all(|key| known.contains(key)) {
            let (found, contents) =
                replies.split_at_checked(positions.len()).context("Valkey sent too few replies")?;
            restore(store, &keys, contents).await?;
            return positions.positions(found);
        }
        keys = present;
    }
    bail!("keys are added to Valkey faster than it can be copied")
}

async fn keys_of(connection: &mut MultiplexedConnection) -> Result<Vec<Vec<u8>>> {
    let number: usize = redis::cmd("DBSIZE").query_async(connection).await?;
    ensure!(number <= KEYS_MAX, "Valkey has {number} keys; at most {KEYS_MAX} are copied");
    Ok(redis::cmd("KEYS").arg("*").query_async(connection).await?)
}

async fn check_size(source: &mut MultiplexedConnection, keys: &[Vec<u8>]) -> Result<()> {
    ensure!(
        keys.len() <= KEYS_MAX,
        "Valkey has {} keys; at most {KEYS_MAX} are copied",
        keys.len()
    );
    let mut pipeline = redis::pipe();
    for key in keys {
        pipeline.cmd("MEMORY").arg("USAGE").arg(key);
    }
    let sizes: Vec<Option<u64>> = match keys {
        [] => Vec::new(),
        _ => pipeline.query_async(source).await?,
    };
    let bytes: u64 = sizes.into_iter().flatten().sum();
    ensure!(bytes <= BYTES_MAX, "Valkey has {bytes} bytes; at most {BYTES_MAX} are copied");
    Ok(())
}

/// Stores the keys with the replies to DUMP and PTTL for each of them.
async fn restore(
    store: &mut MultiplexedConnection,
    keys: &[Vec<u8>],
    replies: &[Value],
) -> Result<()> {
    let () = redis::cmd("FLUSHALL").query_async(store).await?;
    for (key, reply) in keys.iter().zip(replies.chunks(2)) {
        let [Value::BulkString(content), Value::Int(expiry)] = reply else { continue };
        let mut command = redis::cmd("RESTORE");
        command.arg(key).arg((*expiry).max(0)).arg(content.as_slice());
        let restored: redis::RedisResult<()> = command.query_async(store).await;
        restored.context("the private store cannot read the copy; is it of an older version?")?;
    }
    Ok(())
}
