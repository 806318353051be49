//! A blocking connection to Valkey.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use valkey_codec::{Address, Command, Decoder, Reply, Scalar, encode, hello};

/// Maximum time to wait for a reply.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Number of bytes that are read at once.
const READ_BYTES: usize = 16 << 10;

/// A connection that is used by one thread.
pub struct Store {
    stream: TcpStream,
    decoder: Decoder,
    url: Address,
}

impl Store {
    /// Connects, and sends the first commands.
    pub fn connect(url: &str) -> Result<Self> {
        let url = Address::parse(url).context("--valkey")?;
        let stream = TcpStream::connect((url.host.as_str(), url.port))
            .with_context(|| format!("cannot connect to Valkey at {url:?}; check that it runs"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        let commands = hello(&url);
        let mut store = Self { stream, decoder: Decoder::default(), url };
        for reply in store.pipeline(&commands)? {
            if let Reply::One(Scalar::Error(text)) = reply {
                bail!("Valkey at {:?} refuses the connection: {text}", store.url);
            }
        }
        Ok(store)
    }

    /// Sends the commands in one write, and reads their replies.
    pub fn pipeline(&mut self, commands: &[Vec<Vec<u8>>]) -> Result<Vec<Reply>> {
        self.exchange(&encode(commands), commands.len())
    }

    /// Sends encoded commands in one write, and reads this number of replies.
    fn exchange(&mut self, commands: &[u8], count: usize) -> Result<Vec<Reply>> {
        let place = format!("Valkey at {:?}", self.url);
        self.stream.write_all(commands).with_context(|| place.clone())?;
        let mut replies = Vec::with_capacity(count);
        let mut buffer = [0; READ_BYTES];
        while replies.len() < count {
            if let Some(reply) = self.decoder.next()? {
                replies.push(reply);
                continue;
            }
            let count = self.stream.read(&mut buffer).with_context(|| place.clone())?;
            if count == 0 {
                bail!("{place} closed the connection");
            }
            self.decoder.feed(buffer.get(..count).unwrap_or_default());
        }
        Ok(replies)
    }

    /// Calls the script once.
    pub fn call(&mut self, command: &Command) -> Result<aggregate::Reply> {
        match self.exchange(&command.encode(), 1)?.into_iter().next() {
            Some(Reply::One(Scalar::Error(text))) => Ok(aggregate::Reply::Error(text)),
            Some(Reply::Many(values)) => {
                Ok(aggregate::Reply::Values(values.into_iter().map(word).collect()))
            }
            other => bail!("unexpected reply of Valkey to the script: {other:?}"),
        }
    }

    /// Reads values; None for keys that do not exist.
    pub fn read(&mut self, commands: &[Vec<Vec<u8>>]) -> Result<Vec<Option<Vec<u8>>>> {
        let value = |reply| match reply {
            Reply::One(Scalar::Text(text)) => Ok(Some(text)),
            Reply::One(Scalar::Nil) => Ok(None),
            other => bail!("unexpected reply of Valkey to a read: {other:?}"),
        };
        self.pipeline(commands)?.into_iter().map(value).collect()
    }
}

fn word(value: Scalar) -> Vec<u8> {
    match value {
        Scalar::Text(text) => text,
        other => format!("{other:?}").into(),
    }
}
