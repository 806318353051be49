//! Opens a TCP connection, with or without TLS.

use std::io;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo, RedisResult};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use valkey_codec::Address;

use crate::Tls;

/// An open connection to a server.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// Connects to a server.
pub(crate) async fn dial(address: &Address, tls: Option<&Tls>) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    // A command is sent in one write, which must not wait for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    match tls {
        Some(tls) => Ok(Box::new(tls.connect(&address.host, stream).await?)),
        None => Ok(Box::new(stream)),
    }
}

/// A connection on which several callers can send commands, over this stream, and the task that
/// runs it. The library authenticates according to `info`.
pub(crate) async fn multiplex(
    info: &RedisConnectionInfo,
    stream: impl Stream,
    config: AsyncConnectionConfig,
) -> RedisResult<(MultiplexedConnection, JoinHandle<()>)> {
    let multiplexed = MultiplexedConnection::new_with_config(info, stream, config).await;
    let (connection, driver) = multiplexed?;
    Ok((connection, tokio::spawn(driver)))
}

/// The settings with which the library sends no command by itself.
pub(crate) fn without_greeting() -> RedisConnectionInfo {
    RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name()
}
