//! The settings of the producer.

use std::fmt;
use std::time::Duration;

use crate::{Address, Error};

/// The settings of the producer: brokers, batching, limits and timeouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Bootstrap brokers: `host:port`, separated by commas. Required.
    pub brokers: String,
    /// The client id that is sent to the brokers. Default: `doorbuster`.
    pub client_id: String,
    /// Credentials for SASL; None, the default, connects without authentication.
    pub sasl: Option<Sasl>,
    /// Codec of the record batches. Default: `lz4`.
    pub compression: Compression,
    /// Maximum time from the call to the acknowledgement of a record, including all retries.
    /// Default: 10 s.
    pub delivery_timeout: Duration,
    /// Maximum time that a record waits while no broker can be reached. Default: 2 s.
    pub unreachable_timeout: Duration,
    /// Maximum time that a record waits for a topic that the brokers do not know. It may have been
    /// created just before. Default: 2 s.
    pub missing_timeout: Duration,
    /// Maximum time for the response to one request. After it the connection is considered broken,
    /// and the request is sent again. Default: 5 s.
    pub request_timeout: Duration,
    /// Connections that were idle for longer are closed instead of used again. Default: 5 s, which
    /// is far less than the idle timeout of the brokers.
    pub idle_timeout: Duration,
    /// Age at which the metadata is requested again, because partitions may have been added.
    /// Default: 5 min, like the Java client.
    pub metadata_max_age: Duration,
    /// Maximum size of the records in one request, and of one record, in bytes before compression.
    /// Default: 1 MiB, like the Java client.
    pub request_bytes_max: usize,
    /// Maximum number of records that wait for their acknowledgement; more are refused at once.
    /// Default: 10,000, because an instance handles few calls at a time.
    pub queue_records_max: usize,
    /// Maximum total size of the records that wait for their acknowledgement, in bytes; more are
    /// refused at once. Default: 16 MiB.
    pub queue_bytes_max: usize,
}

impl Config {
    /// The default settings with these bootstrap brokers.
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

    /// The bootstrap brokers, parsed. Fails if there are none or one is not `host:port`.
    pub fn addresses(&self) -> Result<Vec<Address>, Error> {
        let parts = self.brokers.split(',').map(str::trim).filter(|part| !part.is_empty());
        let addresses = parts.map(|part| {
            Address::parse(part)
                .ok_or_else(|| Error::Brokers(format!("`{part}` is not `host:port`")))
        });
        let addresses: Vec<_> = addresses.collect::<Result<_, _>>()?;
        if addresses.is_empty() {
            return Err(Error::Brokers("give at least one `host:port`".into()));
        }
        Ok(addresses)
    }
}

/// The codec of record batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// No compression.
    None,
    /// LZ4, which needs the least CPU time. The default.
    #[default]
    Lz4,
    /// Snappy.
    Snappy,
}

impl Compression {
    /// Parses `lz4`, `snappy` or `none`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "none" => Ok(Self::None),
            "lz4" => Ok(Self::Lz4),
            "snappy" => Ok(Self::Snappy),
            _ => Err(Error::Compression(text.into())),
        }
    }
}

/// The SASL credentials of the client.
#[derive(Clone, PartialEq, Eq)]
pub struct Sasl {
    /// How the password is used.
    pub mechanism: Mechanism,
    /// The user's name.
    pub username: String,
    /// The password. It is never printed.
    pub password: String,
}

impl fmt::Debug for Sasl {
    /// Does not print the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mechanism, username, .. } = self;
        write!(formatter, "{} as {username}", mechanism.name())
    }
}

/// A SASL mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// The password is sent to the broker.
    Plain,
    /// SCRAM with SHA-256: client and broker prove to each other that they know the password.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// Parses Kafka's name of the mechanism.
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
    fn unknown_names_are_refused() {
        assert!(matches!(Compression::parse("gzip"), Err(Error::Compression(_))));
        assert!(matches!(Mechanism::parse("GSSAPI"), Err(Error::Mechanism(_))));
    }
}
