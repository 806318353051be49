//! The producer's settings, from Spin variables. Only the variable with the brokers is required.

use std::time::Duration;

use spin_sdk::variables;
use wasm_producer::{Compression, Config, Mechanism, Sasl};

/// Bootstrap brokers, `host:port`, separated by commas.
pub const BROKERS: &str = "kafka_brokers";

/// `plaintext` or `sasl_plaintext`. WASI has no TLS.
const SECURITY: &str = "kafka_security";

/// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`. No authentication if it is not declared or empty.
const MECHANISM: &str = "kafka_sasl_mechanism";

/// The name of the user.
const USERNAME: &str = "kafka_username";

/// The password of the user.
const PASSWORD: &str = "kafka_password";

/// `lz4` (the default), `snappy` or `none`.
const COMPRESSION: &str = "kafka_compression";

/// Maximum time from the call to the acknowledgement of a record, in milliseconds.
const DELIVERY: &str = "kafka_delivery_timeout_ms";

/// Maximum time that a record waits while no broker can be reached, in milliseconds.
const UNREACHABLE: &str = "kafka_unreachable_timeout_ms";

/// Maximum of both timeouts.
const TIMEOUT_MS_MAX: u64 = 900_000;

/// Reads all settings. The error names the variable.
pub async fn read() -> Result<Config, String> {
    let mut config = Config::new(need(BROKERS).await?);
    if find(SECURITY).await?.is_some_and(|security| security.to_ascii_lowercase().ends_with("ssl"))
    {
        return Err(wrong(
            SECURITY,
            "this producer does not support TLS; use the producer of the host",
        ));
    }
    if let Some(name) = find(COMPRESSION).await? {
        config.compression = Compression::parse(&name).map_err(|e| wrong(COMPRESSION, e))?;
    }
    if let Some(name) = find(MECHANISM).await? {
        let mechanism = Mechanism::parse(&name).map_err(|e| wrong(MECHANISM, e))?;
        let (username, password) = (need(USERNAME).await?, need(PASSWORD).await?);
        config.sasl = Some(Sasl { mechanism, username, password });
    }
    if let Some(time) = find_time(DELIVERY).await? {
        config.delivery_timeout = time;
    }
    if let Some(time) = find_time(UNREACHABLE).await? {
        config.unreachable_timeout = time;
    }
    Ok(config)
}

/// The error text for a variable.
pub fn wrong(name: &str, reason: impl std::fmt::Display) -> String {
    format!("Spin variable `{name}`: {reason}")
}

async fn need(name: &str) -> Result<String, String> {
    let missing = || wrong(name, "the producer requires it, but it is not set");
    find(name).await?.ok_or_else(missing)
}

async fn find_time(name: &str) -> Result<Option<Duration>, String> {
    let Some(text) = find(name).await? else { return Ok(None) };
    let ms = text.parse().ok().filter(|ms| (1..=TIMEOUT_MS_MAX).contains(ms));
    let unusable = || wrong(name, format!("must be between 1 and {TIMEOUT_MS_MAX}"));
    ms.map(Duration::from_millis).map(Some).ok_or_else(unusable)
}

async fn find(name: &str) -> Result<Option<String>, String> {
    match variables::get(name).await {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(variables::Error::Undefined(_)) => Ok(None),
        Err(error) => Err(wrong(name, error)),
    }
}
