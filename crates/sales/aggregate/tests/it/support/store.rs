//! A real Valkey that is called like the component calls it.

use aggregate::{Error, Known, Reply, Source, Step, Stored, Update};
use redis::{Cmd, Connection, FromRedisValue, RedisError, cmd};
use test_servers::{Valkey, ValkeyConfig, start_valkey};
use tokio::runtime::Runtime;

use super::content::{Content, Contents};

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
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(start_valkey(ValkeyConfig::default())).unwrap();
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
    pub fn call(&mut self, update: &mut Update, known: &mut Known) -> Result<Step, Error> {
        let mut command = Cmd::new();
        for word in update.command(known)?.words() {
            command.arg(word);
        }
        let reply = match command.query(&mut self.connection) {
            Ok(words) => Reply::Values(words),
            Err(error) => Reply::Error(text(&error)),
        };
        update.reply(reply, known)
    }

    /// Applies an update completely. Also returns the number of calls.
    pub fn try_apply(
        &mut self,
        mut update: Update,
        known: &mut Known,
    ) -> Result<(Step, u32), Error> {
        let mut calls = 1;
        loop {
            match self.call(&mut update, known)? {
                Step::Send | Step::Run => calls += 1,
                step => return Ok((step, calls)),
            }
        }
    }

    /// Applies an update that must not fail.
    pub fn apply(&mut self, update: Update, known: &mut Known) -> (Step, u32) {
        self.try_apply(update, known).unwrap()
    }

    /// Runs a command that writes.
    pub fn write(&mut self, words: &[Vec<u8>]) {
        Cmd::new().arg(words).exec(&mut self.connection).unwrap();
    }

    /// What is stored of a partition.
    pub fn stored(&mut self, source: &Source) -> Stored {
        let mut reply =
            |command: Vec<Vec<u8>>| Cmd::new().arg(&command).query(&mut self.connection).unwrap();
        let replies: Vec<_> = source.position_commands().into_iter().map(&mut reply).collect();
        source.stored(&replies)
    }

    /// All stored keys except the fingerprints.
    pub fn contents(&mut self) -> Contents {
        let keys: Vec<String> = self.run("KEYS *");
        let memory = |key: &String| key.starts_with("seen");
        keys.into_iter()
            .filter(|key| !memory(key))
            .map(|key| (key.clone(), self.content(&key)))
            .collect()
    }

    fn content(&mut self, key: &str) -> Content {
        match self.run::<String>(&format!("TYPE {key}")).as_str() {
            "string" if key.starts_with("promedio_") || key.starts_with("precio_") => {
                Content::Number(self.run(&format!("GET {key}")))
            }
            "string" => Content::Text(self.run(&format!("GET {key}"))),
            "hash" => Content::Fields(self.run(&format!("HGETALL {key}"))),
            "zset" => Content::Scores(self.run(&format!("ZRANGE {key} 0 -1 WITHSCORES"))),
            "stream" => {
                let entries: Vec<(String, (String, f64))> = self.run(&format!("XRANGE {key} - +"));
                assert!(entries.iter().all(|(_, (field, _))| field == "precio"), "{entries:?}");
                Content::Prices(entries.into_iter().map(|(_, (_, price))| price).collect())
            }
            other => panic!("{key} is a {other}"),
        }
    }
}

/// The error's text as the server wrote it.
fn text(error: &RedisError) -> String {
    format!("{} {}", error.code().unwrap_or_default(), error.detail().unwrap_or_default())
}
