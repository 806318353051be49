//! Where operators ask, if they may.

use std::net::SocketAddr;

use anyhow::{Error, Result};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use trigger_kafka::Operator;

/// Listens where they are to ask.
pub async fn bind(addresses: impl Iterator<Item = SocketAddr>) -> Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        listeners.push(Operator::bind(address).await.map_err(Error::msg)?);
    }
    Ok(listeners)
}

/// Answers them until the set is dropped: asked until the very end, nobody waits for an answer
/// then.
pub fn serve(listeners: Vec<TcpListener>, operator: Operator) -> JoinSet<std::io::Result<()>> {
    let serve = |listener| operator.clone().serve(listener, std::future::pending());
    listeners.into_iter().map(serve).collect()
}
