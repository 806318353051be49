//! The producer's settings.

use std::fmt;
use std::time::Duration;

use crate::{Address, Error};

/// Where the brokers are, and how records are batched, bounded and given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Bootstrap brokers, as they were written. Required.
    pub brokers: String,
    /// The name this client gives itself at the broker. Default `doorbuster`.
    pub client_id: String,
    /// Whom it says it is; nobody by default.
    pub sasl: Option<Sasl>,
    /// Codec of the record batches. Default `lz4`.
    pub compression: Compression,
    /// How long a record may wait for its acknowledgement, all retries included.
    /// Default 10 s.
    pub delivery_timeout: Duration,
    /// How long a record may wait while no broker can be reached. Default 2 s.
    pub unreachable_timeout: Duration,
    /// How long a record may wait for a topic that the brokers do not know: it may only just
    /// have been made. Default 2 s.
    pub missing_timeout: Duration,
    /// How long a broker may take for one request before the connection counts as broken and
    /// the request is sent again. Default 5 s.
    pub request_timeout: Duration,
    /// Connections at rest for longer are not used again, but closed. Default 5 s: far below
    /// the time after which brokers close them.
    pub idle_timeout: Duration,
    /// Age at which the brokers are asked about the topics again: partitions may have been
    /// added. Default 5 min, as Java's.
    pub metadata_max_age: Duration,
    /// Most bytes of records in one request, and of one record, before compression. Default
    /// 1 MiB, as Java's.
    pub request_bytes_max: usize,
    /// Most records that wait for their acknowledgement; more are refused at once. Default
    /// 10,000: an instance serves few calls at once.
    pub queue_records_max: usize,
    /// Most bytes that wait for their acknowledgement; more are refused at once. Default
    /// 16 MiB.
    pub queue_bytes_max: usize,
}

impl Config {
    /// The defaults, for these brokers.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            client_id: "doorbuster".into(),
            sasl: None,
            compression: Compression::default(),
            delivery_timeout: Duration::from_secs(10),
            unreachable_timeout: Duration::from_secs(2),
            missing_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(5),
            metadata_max_age: Duration::from_secs(300),
            request_bytes_max: 1 << 20,
            queue_records_max: 10_000,
            queue_bytes_max: 16 << 20,
        }
    }

    /// The bootstrap brokers, `host:port`, separated by commas.
    pub fn addresses(&self) -> Result<Vec<Address>, Error> {
        let parts = self.brokers.split(',').map(str::trim).filter(|part| !part.is_empty());
        let addresses = parts.map(|part| {
            Address::parse(part)
                .ok_or_else(|| Error::Brokers(format!("`{part}` is no `host:port`")))
        });
        let addresses: Vec<_> = addresses.collect::<Result<_, _>>()?;
        if addresses.is_empty() {
            return Err(Error::Brokers("give at least one `host:port`".into()));
        }
        Ok(addresses)
    }
}

/// A codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Records as they are.
    None,
    /// The cheapest in CPU.
    #[default]
    Lz4,
    /// Alike.
    Snappy,
}

impl Compression {
    /// Reads `lz4`, `snappy` or `none`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "none" => Ok(Self::None),
            "lz4" => Ok(Self::Lz4),
            "snappy" => Ok(Self::Snappy),
            _ => Err(Error::Compression(text.into())),
        }
    }
}

/// Whom a client says it is, and how it shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sasl {
    /// How it shows it.
    pub mechanism: Mechanism,
    /// The user's name.
    pub username: String,
    /// The password. It is never printed.
    pub password: String,
}

impl fmt::Debug for Sasl {
    /// Without the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mechanism, username, .. } = self;
        write!(formatter, "{} as {username}", mechanism.name())
    }
}

/// A SASL mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// Sends the password.
    Plain,
    /// Proves to know the password, and has the broker prove it.
    ScramSha256,
    /// The same with another hash.
    ScramSha512,
}

impl Mechanism {
    /// Reads Kafka's name of the mechanism.
    pub fn parse(text: &str) -> Result<Self, Error> {
        [Self::Plain, Self::ScramSha256, Self::ScramSha512]
            .into_iter()
            .find(|mechanism| mechanism.name() == text)
            .ok_or_else(|| Error::Mechanism(text.into()))
    }

    /// Kafka's name of the mechanism.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bootstrap_lists() {
        let addresses = Config::new(" a:1, [::1]:2 ,").addresses().unwrap();
        assert_eq!(
            addresses.iter().map(Address::to_string).collect::<Vec<_>>(),
            ["a:1", "[::1]:2"]
        );
        for brokers in ["", " , ", "a", "a:1,b"] {
            assert!(
                matches!(Config::new(brokers).addresses(), Err(Error::Brokers(_))),
                "{brokers}"
            );
        }
    }

    #[test]
    fn passwords_are_never_printed() {
        let mut config = Config::new("a:1");
        let mechanism = Mechanism::parse("SCRAM-SHA-256").unwrap();
        config.sasl = Some(Sasl { mechanism, username: "ana".into(), password: "hunter2".into() });
        let printed = format!("{config:?}");
        assert!(printed.contains("ana") && !printed.contains("hunter2"), "{printed}");
    }

    #[test]
    fn unknown_words_are_refused() {
        assert!(matches!(Compression::parse("gzip"), Err(Error::Compression(_))));
        assert!(matches!(Mechanism::parse("GSSAPI"), Err(Error::Mechanism(_))));
    }
}
