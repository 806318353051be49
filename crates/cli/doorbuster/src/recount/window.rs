//! The part of a state that is read and compared at once.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, Value};

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
            Places::Fields(names) | Places::Scores(names) | Places::Members(names) => {
                command.arg(names);
                names.len()
            }
        };
        self.elements += elements;
        self.reads.push(Read { command, key: key.to_vec(), places });
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
