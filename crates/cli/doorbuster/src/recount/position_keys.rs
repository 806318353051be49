//! The keys in which a component stores its positions.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use redis::Pipeline;
use redis::aio::MultiplexedConnection;

use super::Positions;

/// Number of keys that one step of a scan visits.
const SCAN_KEYS: usize = 1_000;

/// The hash of each topic in which a component stores the positions, by the number of the
/// partition. Its name depends on the component, so it is found by its content: the private store
/// is empty before the first records are counted again, and the positions after them are known.
#[derive(Debug, Clone)]
pub struct PositionKeys(BTreeMap<Arc<str>, Vec<u8>>);

impl PositionKeys {
    /// Finds the keys in a private store in which everything before `counted` was applied.
    pub async fn find(store: &mut MultiplexedConnection, counted: &Positions) -> Result<Self> {
        let mut expected: BTreeMap<Arc<str>, BTreeMap<i32, i64>> = BTreeMap::new();
        for (topic, partition, offset) in counted.iter() {
            expected.entry(topic.clone()).or_default().insert(partition, offset);
        }
        let hashes = hashes(store).await?;
        let mut found = BTreeMap::new();
        for (topic, positions) in expected {
            let mut keys = Vec::new();
            for key in hashes.iter().filter(|key| contains(key, topic.as_bytes())) {
                let fields: BTreeMap<String, String> =
                    redis::cmd("HGETALL").arg(key).query_async(store).await?;
                let is_equal = fields.len() == positions.len()
                    && positions.iter().all(|(partition, offset)| {
                        fields.get(&partition.to_string()) == Some(&offset.to_string())
                    });
                if is_equal {
                    keys.push(key.clone());
                }
            }
            let key = select(keys, &topic)?;
            found.insert(topic, key);
        }
        Ok(Self(found))
    }

    /// Whether this is one of the keys.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.0.values().any(|known| known == key)
    }

    /// Adds the commands that read the positions.
    pub fn add_to(&self, pipeline: &mut Pipeline) {
        for key in self.0.values() {
            pipeline.cmd("HGETALL").arg(key);
        }
    }

    /// Number of commands that [`PositionKeys::add_to`] adds.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The positions in the replies to these commands.
    pub fn positions(&self, replies: &[redis::Value]) -> Result<Positions> {
        let mut positions = Positions::default();
        for ((topic, key), reply) in self.0.iter().zip(replies) {
            let fields: BTreeMap<String, String> = redis::from_redis_value_ref(reply)?;
            for (partition, offset) in fields {
                let (Ok(partition), Ok(offset)) = (partition.parse(), offset.parse()) else {
                    let key = String::from_utf8_lossy(key);
                    bail!(
                        "the key {key} contains `{partition}` = `{offset}`, which is no position"
                    );
                };
                positions.insert(topic, partition, offset);
            }
        }
        Ok(positions)
    }
}

/// The names of all hashes of a store.
async fn hashes(store: &mut MultiplexedConnection) -> Result<Vec<Vec<u8>>> {
    let (mut cursor, mut found) = (0_u64, Vec::new());
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("COUNT").arg(SCAN_KEYS).arg("TYPE").arg("hash");
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(store).await?;
        found.extend(keys);
        if next == 0 {
            found.sort_unstable();
            found.dedup();
            return Ok(found);
        }
        cursor = next;
    }
}

/// The one of these keys that contains the positions of the topic.
fn select(mut keys: Vec<Vec<u8>>, topic: &str) -> Result<Vec<u8>> {
    // The name of another topic, or of the group, can contain this one. The names that the library
    // uses end with the topic's.
    let end = format!(":{topic}");
    let is_named_by_library = |key: &Vec<u8>| key.ends_with(end.as_bytes());
    if keys.iter().any(is_named_by_library) {
        keys.retain(is_named_by_library);
    }
    let key = keys.pop().with_context(|| {
        format!(
            "the component stores no positions of the topic {topic} in a hash whose name contains \
             the topic's name: its counts cannot be read together with them"
        )
    })?;
    if !keys.is_empty() {
        bail!("several keys could contain the positions of the topic {topic}");
    }
    Ok(key)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len().max(1)).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(keys: &[&str], topic: &str) -> Result<String> {
        let keys = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
        Ok(String::from_utf8(select(keys, topic)?)?)
    }

    #[test]
    fn the_key_of_a_topic_is_known_if_another_topic_or_the_group_contains_its_name() {
        let keys = ["{w:1}/position:sales-group:old-sales", "{w:1}/position:sales-group:sales"];
        assert_eq!(selected(&keys, "sales").unwrap(), keys[1]);
        assert_eq!(selected(&keys[..1], "old-sales").unwrap(), keys[0]);
        assert_eq!(selected(&["of-sales-by-hand"], "sales").unwrap(), "of-sales-by-hand");
        for (keys, part) in [
            (&["a:sales", "b:sales"][..], "several keys"),
            (&["sales:a", "sales:b"], "several keys"),
            (&[], "no positions"),
        ] {
            let error = selected(keys, "sales").unwrap_err().to_string();
            assert!(error.contains(part), "{keys:?}: {error}");
        }
    }
}
