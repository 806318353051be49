//! The store of the running application. It is only read.

use anyhow::{Context as _, Result, anyhow};
use redis::Value;
use redis::aio::MultiplexedConnection;
use valkey_codec::Servers;

use super::{PositionKeys, Positions, Window};

/// The store of the running application.
pub struct Live {
    servers: Servers,
    authorities: String,
    connection: Option<MultiplexedConnection>,
}

impl Live {
    /// A store with this URL. `authorities` are the certificates for TLS.
    pub fn new(url: &str, authorities: String) -> Result<Self> {
        Ok(Self { servers: Servers::parse(url)?, authorities, connection: None })
    }

    /// The connection to the primary. It is opened again after a failure.
    pub async fn connection(&mut self) -> Result<&mut MultiplexedConnection> {
        if self.connection.is_none() {
            let connected = valkey_client::connect(&self.servers, &self.authorities).await;
            let (_, connection) = connected
                .with_context(|| format!("cannot connect to Valkey at {}", self.servers))?;
            self.connection = Some(connection);
        }
        self.connection.as_mut().context("there is no connection")
    }

    /// Closes the connection, so that the next call connects to the present primary.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Reads the positions and the values of a window in one atomic step.
    pub async fn read(
        &mut self,
        positions: &PositionKeys,
        window: &Window,
    ) -> Result<(Positions, Vec<Value>)> {
        let mut pipeline = redis::pipe();
        pipeline.atomic().ignore_errors();
        positions.add_to(&mut pipeline);
        window.add_to(&mut pipeline);
        let connection = self.connection().await?;
        let mut replies: Vec<Value> = pipeline.query_async(connection).await?;
        let refused = replies.iter().find_map(|reply| match reply {
            Value::ServerError(error) if !DIFFERENCES.contains(&error.code()) => {
                Some(error.to_string())
            }
            _ => None,
        });
        if let Some(refused) = refused {
            return Err(anyhow!("Valkey refused to read the counts: {refused}"));
        }
        let values = replies.split_off(positions.len().min(replies.len()));
        Ok((positions.positions(&replies)?, values))
    }
}

/// The codes of the errors for a key of another type, and for a HyperLogLog with invalid bytes. They
/// are differences.
const DIFFERENCES: [&str; 2] = ["WRONGTYPE", "INVALIDOBJ"];
