//! The producer's settings, from Spin variables. All but the brokers may be left undeclared.

use spin_sdk::variables;
use wire_producer::{Compression, Config, Mechanism, Sasl};

/// Bootstrap brokers, `host:port`, separated by commas.
pub const BROKERS: &str = "kafka_brokers";

/// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`; none if not declared or empty.
const MECHANISM: &str = "kafka_sasl_mechanism";

/// The user's name.
const USERNAME: &str = "kafka_username";

/// The user's password.
const PASSWORD: &str = "kafka_password";

/// `lz4` (the default), `snappy` or `none`.
const COMPRESSION: &str = "kafka_compression";

/// Reads them all. The error names the variable.
pub async fn read() -> Result<Config, String> {
    let mut config = Config::new(need(BROKERS).await?);
    if let Some(name) = find(COMPRESSION).await? {
        config.compression = Compression::parse(&name).map_err(|e| wrong(COMPRESSION, e))?;
    }
    if let Some(name) = find(MECHANISM).await? {
        let mechanism = Mechanism::parse(&name).map_err(|e| wrong(MECHANISM, e))?;
        let (username, password) = (need(USERNAME).await?, need(PASSWORD).await?);
        config.sasl = Some(Sasl { mechanism, username, password });
    }
    Ok(config)
}

/// What is wrong with a variable.
pub fn wrong(name: &str, reason: impl std::fmt::Display) -> String {
    format!("Spin variable `{name}`: {reason}")
}

async fn need(name: &str) -> Result<String, String> {
    let missing = || wrong(name, "the producer needs it and finds none");
    find(name).await?.ok_or_else(missing)
}

async fn find(name: &str) -> Result<Option<String>, String> {
    match variables::get(name).await {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(variables::Error::Undefined(_)) => Ok(None),
        Err(error) => Err(wrong(name, error)),
    }
}
