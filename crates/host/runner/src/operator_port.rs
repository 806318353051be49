//! The operator port: `/metrics`, `/healthz`, `/readyz`, and the dead letters.

use std::net::SocketAddr;

use anyhow::{Error, Result};
use kafka_trigger::Operator;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Binds the operator port to these addresses.
pub async fn bind(addresses: impl Iterator<Item = SocketAddr>) -> Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        listeners.push(Operator::bind(address).await.map_err(Error::msg)?);
    }
    Ok(listeners)
}

/// Serves the operator port until the returned set is dropped. That happens at the very end of the
/// program; requests in progress are then cut off.
pub fn serve(listeners: Vec<TcpListener>, operator: Operator) -> JoinSet<std::io::Result<()>> {
    let serve = |listener| operator.clone().serve(listener, std::future::pending());
    listeners.into_iter().map(serve).collect()
}
