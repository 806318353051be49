//! Where operators ask, if they may.

use std::net::SocketAddr;

use anyhow::{Error, Result};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use trigger_kafka::{KafkaTrigger, Operator};

/// Listens where they are to ask.
pub async fn bind(address: Option<SocketAddr>) -> Result<Option<TcpListener>> {
    match address {
        Some(address) => Operator::bind(address).await.map(Some).map_err(Error::msg),
        None => Ok(None),
    }
}

/// Answers them until the handle is dropped: asked until the very end, nobody waits for an answer
/// then.
pub fn serve(
    listener: Option<TcpListener>,
    triggers: &[KafkaTrigger],
) -> Option<AbortOnDropHandle<std::io::Result<()>>> {
    listener.map(|listener| {
        let serving = Operator::new(triggers).serve(listener, std::future::pending());
        AbortOnDropHandle::new(tokio::spawn(serving))
    })
}
