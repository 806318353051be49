//! Claims idempotency keys like the component `writer`, but without WebAssembly.

use anyhow::{Context as _, Result};
use idempotency::{Claim, KeyOwner, Reply, RetentionLimits};
use intake::IntakeError;
use redis::Cmd;
use redis::aio::MultiplexedConnection;

/// A connection that all requests share.
pub struct KeyClaims(MultiplexedConnection);

impl KeyClaims {
    /// Connects to Valkey.
    pub async fn open(url: &str) -> Result<Self> {
        let client = redis::Client::open(url).context("--valkey")?;
        let connection = client.get_multiplexed_async_connection().await;
        Ok(Self(connection.context("cannot connect to Valkey; check that it runs")?))
    }

    /// Claims the key for this body.
    pub async fn claim(&self, topic: &str, key: &str, body: &[u8]) -> Result<(), IntakeError> {
        let mut claim = Claim::new(topic, key, body, RetentionLimits::default());
        loop {
            let mut command = Cmd::new();
            for word in claim.command() {
                command.arg(word);
            }
            let reply = match command.query_async(&mut self.0.clone()).await {
                Ok(word) => Reply::Word(word),
                Err(error) if error.kind() == redis::ServerErrorKind::NoScript.into() => {
                    Reply::Error("NOSCRIPT".into())
                }
                // The sale is written nevertheless.
                Err(_) => return Ok(()),
            };
            match claim.reply(reply) {
                Ok(None) => {}
                Ok(Some(KeyOwner::ThisSale)) | Err(_) => return Ok(()),
                Ok(Some(KeyOwner::AnotherSale)) => {
                    return Err(IntakeError::KeyTaken(format!("`{key}` belongs to another sale")));
                }
            }
        }
    }
}
