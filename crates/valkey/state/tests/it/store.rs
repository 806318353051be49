//! A real Valkey that is called like the SDK calls it.

use std::collections::BTreeMap;

use redis::{Cmd, Connection, FromRedisValue, RedisError, cmd};
use spin_kafka_state::{
    Command, Error, Fingerprint, Namespace, OffsetRange, Read, RecordId, Reply, RetentionLimits,
    Source, State, Step, Stored, Transaction,
};
use test_servers::{Valkey, ValkeyConfig, start_valkey};
use tokio::runtime::Runtime;

/// The start of all keys of the tests.
pub const PREFIX: &str = "{tests:1}:";

/// The source of all records of the tests.
pub fn source() -> Source {
    Source {
        namespace: Namespace::new("tests", 1).unwrap(),
        group: "g".into(),
        topic: "t".into(),
        log_id: "cluster/topic".into(),
        partition: 2,
    }
}

/// The records from `start` to `end` of a log, given by their idempotency keys, one second apart.
pub fn batch(source: Source, keys: &[Option<String>], start: usize, end: usize) -> Transaction {
    batch_with(source, keys, start, end, RetentionLimits::default())
}

/// The same with limits of the remembered keys.
pub fn batch_with(
    source: Source,
    keys: &[Option<String>],
    start: usize,
    end: usize,
    limits: RetentionLimits,
) -> Transaction {
    let records = keys[start..end].iter().zip(start as i64..).map(|(key, offset)| RecordId {
        offset,
        timestamp_ms: Some(offset * 1_000),
        fingerprint: key.as_ref().map(|key| Fingerprint::new(key.as_bytes(), b"")),
    });
    let (start, end) = (start as i64, end as i64);
    let range = OffsetRange { start, end, expected_position: (start > 0).then_some(start) };
    Transaction::new(source, range, limits, records)
}

/// The content of a key, as Valkey shows it.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Text(String),
    Fields(BTreeMap<String, String>),
    Scores(BTreeMap<String, f64>),
    /// The first field of each entry with its value.
    Entries(Vec<(String, String)>),
}

/// A server that only this test uses, and a connection to it.
pub struct Store {
    connection: Connection,
    server: Valkey,
    // Dropped last: the server is a child process that needs the runtime.
    _runtime: Runtime,
}

impl Store {
    /// Starts an empty server.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts an empty server with these arguments.
    pub fn with(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let config = ValkeyConfig { arguments, ..ValkeyConfig::default() };
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(start_valkey(config)).unwrap();
        let connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
        Self { connection, server, _runtime: runtime }
    }

    /// Connects as another user.
    pub fn login(&mut self, user: &str, password: &str) {
        let url = self.server.url().replace("//", &format!("//{user}:{password}@"));
        self.connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    }

    /// Runs a command whose words are separated by blanks.
    pub fn run<T: FromRedisValue>(&mut self, command: &str) -> T {
        let words: Vec<&str> = command.split(' ').collect();
        cmd(words[0]).arg(&words[1..]).query(&mut self.connection).unwrap()
    }

    /// Makes one call of the script.
    pub fn call(&mut self, transaction: &mut Transaction, state: &State) -> Result<Step, Error> {
        let command: Command = transaction.command(state)?;
        let mut call = Cmd::new();
        for word in command.words() {
            call.arg(word);
        }
        let reply = match call.query(&mut self.connection) {
            Ok(words) => Reply::Values(words),
            Err(error) => Reply::Error(text(&error)),
        };
        transaction.reply(reply)
    }

    /// Applies a batch completely, with the changes that `run` makes for the included records. Also
    /// returns the number of calls.
    pub fn apply(
        &mut self,
        transaction: &mut Transaction,
        run: impl Fn(&Transaction, &mut State),
    ) -> Result<(Step, u32), Error> {
        let (mut state, mut calls) = (State::default(), 1);
        run(transaction, &mut state);
        loop {
            match self.call(transaction, &state)? {
                Step::Send => {}
                Step::Run => {
                    state = State::default();
                    run(transaction, &mut state);
                }
                step => return Ok((step, calls)),
            }
            calls += 1;
        }
    }

    /// What is stored of a partition.
    pub fn stored(&mut self, source: &Source) -> Stored {
        let commands = source.position_commands().into_iter();
        let replies: Vec<_> = commands
            .map(|words| {
                let mut command = Cmd::new();
                command.arg(&words);
                command.query::<Option<Vec<u8>>>(&mut self.connection).unwrap()
            })
            .collect();
        source.stored(&replies)
    }

    /// What a function reads.
    pub fn read(&mut self, read: &Read) -> Option<Vec<u8>> {
        let mut command = Cmd::new();
        command.arg(read.command(&source().namespace));
        command.query(&mut self.connection).unwrap()
    }

    /// The stored position.
    pub fn position(&mut self, source: &Source) -> Option<i64> {
        match self.stored(source) {
            Stored::Position(position) => Some(position),
            _ => None,
        }
    }

    /// All keys of the function.
    pub fn contents(&mut self) -> BTreeMap<String, Content> {
        let keys: Vec<String> = self.run(&format!("KEYS {PREFIX}*"));
        keys.iter()
            .map(|key| (key.strip_prefix(PREFIX).unwrap().to_owned(), self.content(key)))
            .collect()
    }

    fn content(&mut self, key: &str) -> Content {
        match self.run::<String>(&format!("TYPE {key}")).as_str() {
            "string" => Content::Text(self.run(&format!("GET {key}"))),
            "hash" => Content::Fields(self.run(&format!("HGETALL {key}"))),
            "zset" => Content::Scores(self.run(&format!("ZRANGE {key} 0 -1 WITHSCORES"))),
            "stream" => {
                let entries: Vec<(String, (String, String))> =
                    self.run(&format!("XRANGE {key} - +"));
                Content::Entries(entries.into_iter().map(|(_, field)| field).collect())
            }
            other => panic!("{key} is a {other}"),
        }
    }
}

/// The error's text as the server wrote it.
fn text(error: &RedisError) -> String {
    format!("{} {}", error.code().unwrap_or_default(), error.detail().unwrap_or_default())
}
