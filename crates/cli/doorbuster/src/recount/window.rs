//! The part of a state that is read and compared at once.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, Value};

/// The first bytes of a HyperLogLog.
const HYPERLOGLOG: &[u8] = b"HYLL";

/// Commands that read a part of a state. The same commands are sent to both stores.
#[derive(Default)]
pub struct Window {
    reads: Vec<Read>,
    elements: usize,
}

/// A command that reads, and what it reads.
pub struct Read {
    command: Cmd,
    /// The key.
    pub key: Vec<u8>,
    /// What the reply, or each of its elements, contains.
    pub places: Places,
}

/// What the elements of a reply contain.
pub enum Places {
    /// The value of the key.
    Value,
    /// The estimate of a HyperLogLog. Its bytes contain a cached estimate, so they depend on where
    /// batches end, and on when the estimate was read.
    Estimate,
    /// The number of elements.
    Length,
    /// The values of these fields of a hash.
    Fields(Vec<Vec<u8>>),
    /// The scores of these members of a sorted set.
    Scores(Vec<Vec<u8>>),
    /// Whether these are members of a set.
    Members(Vec<Vec<u8>>),
}

impl Window {
    /// Number of values that it contains.
    pub fn elements(&self) -> usize {
        self.elements
    }

    /// Adds what the commands `name key [place...]` reads.
    pub fn add(&mut self, name: &str, key: &[u8], places: Places) {
        let mut command = redis::cmd(name);
        command.arg(key);
        let elements = match &places {
            Places::Value | Places::Length => 1,
            Places::Estimate => {
                // Of a single key, the server would cache the estimate in its value.
                command.arg(key);
                1
            }
            Places::Fields(names) | Places::Scores(names) | Places::Members(names) => {
                command.arg(names);
                names.len()
            }
        };
        self.elements += elements;
        self.reads.push(Read { command, key: key.to_vec(), places });
    }

    /// Adds what reads a key that is a string in this store.
    pub async fn add_string(
        &mut self,
        key: &[u8],
        store: &mut MultiplexedConnection,
    ) -> RedisResult<()> {
        if is_hyperloglog(key, store).await? {
            self.add("PFCOUNT", key, Places::Estimate);
        } else {
            self.add("GET", key, Places::Value);
        }
        Ok(())
    }

    /// What is read, in the order of the replies.
    pub fn reads(&self) -> &[Read] {
        &self.reads
    }

    /// Adds the commands to a pipeline.
    pub fn add_to(&self, pipeline: &mut Pipeline) {
        for read in &self.reads {
            pipeline.add_command(read.command.clone());
        }
    }

    /// Reads the values from a store.
    pub async fn read(&self, store: &mut MultiplexedConnection) -> RedisResult<Vec<Value>> {
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        self.add_to(&mut pipeline);
        if self.reads.is_empty() {
            return Ok(Vec::new());
        }
        pipeline.query_async(store).await
    }
}

/// Whether a string is a HyperLogLog.
async fn is_hyperloglog(key: &[u8], store: &mut MultiplexedConnection) -> RedisResult<bool> {
    let mut range = redis::cmd("GETRANGE");
    range.arg(key).arg(0).arg(HYPERLOGLOG.len() - 1);
    if range.query_async::<Vec<u8>>(store).await? != HYPERLOGLOG {
        return Ok(false);
    }
    // Another string can begin in the same way.
    let counted = redis::cmd("PFCOUNT").arg(key).arg(key).query_async::<i64>(store).await;
    match counted {
        Err(error) if error.code().is_some() => Ok(false),
        counted => counted.map(|_| true),
    }
}

#[cfg(test)]
mod tests {
    use redis::AsyncCommands as _;
    use test_servers::{Valkey, ValkeyConfig, start_valkey};

    use super::*;
    use crate::recount::{Difference, differences};

    async fn store() -> (Valkey, MultiplexedConnection) {
        let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
        let client = redis::Client::open(valkey.url()).unwrap();
        (valkey, client.get_multiplexed_async_connection().await.unwrap())
    }

    /// Compares the keys `text` and `visitors`.
    async fn compared(
        first: &mut MultiplexedConnection,
        second: &mut MultiplexedConnection,
    ) -> Vec<Difference> {
        let mut window = Window::default();
        for key in ["text", "visitors"] {
            window.add_string(key.as_bytes(), first).await.unwrap();
        }
        let one = window.read(first).await.unwrap();
        let other = window.read(second).await.unwrap();
        differences(&window, (&one, first), (&other, second)).await.unwrap()
    }

    #[tokio::test]
    async fn the_estimate_of_a_hyperloglog_is_compared_and_not_its_bytes() {
        let ((_first, mut first), (_second, mut second)) = (store().await, store().await);
        for store in [&mut first, &mut second] {
            let () = store.pfadd("visitors", &["a", "b"]).await.unwrap();
            // It begins like one, and is none.
            let () = store.set("text", "HYLL, and more").await.unwrap();
        }
        // It stores its estimate.
        let () = second.pfcount("visitors").await.unwrap();
        let mut bytes = Vec::new();
        for store in [&mut first, &mut second] {
            bytes.push(store.get::<_, Vec<u8>>("visitors").await.unwrap());
        }
        assert_ne!(bytes[0], bytes[1]);
        assert_eq!(compared(&mut first, &mut second).await, []);
        assert_eq!(first.get::<_, Vec<u8>>("visitors").await.unwrap(), bytes[0], "it was written");
        let () = second.pfadd("visitors", "c").await.unwrap();
        let () = second.set("text", "HYLL").await.unwrap();
        let difference = |place: &str, first: &str, second: &str| Difference {
            place: place.into(),
            first: first.into(),
            second: second.into(),
        };
        let expected = [
            difference("text", "HYLL, and more", "HYLL"),
            difference("visitors (estimate)", "2", "3"),
        ];
        assert_eq!(compared(&mut first, &mut second).await, expected);
    }
}
