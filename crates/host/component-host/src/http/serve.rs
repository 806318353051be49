//! Accepts connections on a port and serves them within their limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::activity::Times;
use super::connection::{self, Shared};
use super::exchange::Handler;
use super::metrics::Refusals;
use crate::Limits;

/// The pause after `accept` failed, which happens when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// hyper's lower limit for a connection's buffer.
const MIN_BUFFER_BYTES: usize = 8_192;

/// The most concurrent requests of an HTTP/2 connection; more are refused. hyper's default.
const STREAMS_MAX: u32 = 200;

/// The most bytes of a request's body, and of all bodies of a connection, that an HTTP/2 client may
/// send before they are read. hyper's defaults.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// The most bytes of an answer that are buffered for an HTTP/2 client that does not read. hyper's
/// default.
const SEND_BUFFER_BYTES: usize = 400 << 10;

/// Time after which the operating system probes a silent client, and the time between two probes.
const PROBE: Duration = Duration::from_secs(15);

/// Serves a port. All ports of a process are served by this function, so that the same limits apply
/// to each.
///
/// It accepts connections until `shutdown` resolves. Then it accepts no more, and waits for the
/// requests in progress until the time limit `drain`. Returns whether all of them finished.
/// `refusals` counts the requests that are answered without the handler, because they break a rule
/// of HTTP. The future is boxed, because otherwise the crate of a caller would compile the HTTP
/// server again.
pub fn serve(
    listener: TcpListener,
    limits: &Limits,
    handler: Handler,
    refusals: Arc<Refusals>,
    shutdown: BoxFuture<'static, ()>,
    drain: Duration,
) -> BoxFuture<'static, bool> {
    let shared = Shared {
        http: protocol(limits),
        handler,
        refusals,
        times: Times { head: limits.head_timeout, send: limits.send_timeout },
        body_timeout: limits.body_timeout,
    };
    let slots = ConnectionSlots::new(&listener, limits.connections_max);
    accept_all(listener, Arc::new(shared), slots, shutdown, drain).boxed()
}

async fn accept_all(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut slots: ConnectionSlots,
    mut shutdown: BoxFuture<'static, ()>,
    drain: Duration,
) -> bool {
    let (drains, draining) = watch::channel(false);
    loop {
        let (stream, peer, slot) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &mut slots, shared.times.send) => match accepted {
                Some(accepted) => accepted,
                None => continue,
            },
        };
        let (shared, mut draining) = (shared.clone(), draining.clone());
        tokio::spawn(async move {
            // An error means that the server was dropped, which ends its connections, too.
            let draining = async move { _ = draining.wait_for(|drains| *drains).await };
            connection::run(shared, stream, peer, draining).await;
            drop(slot);
        });
    }
    drop(listener);
    drains.send_replace(true);
    tokio::time::timeout(drain, slots.all_free()).await.is_ok()
}

async fn accept(
    listener: &TcpListener,
    slots: &mut ConnectionSlots,
    send_timeout: Duration,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = slots.acquire().await?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            if let Err(error) = prepare(&stream, send_timeout) {
                tracing::debug!(%error, "cannot set an option of a connection");
            }
            Some((stream, peer, slot))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Disables Nagle's algorithm: head and body of an answer may be sent in two writes, and the second
/// must not wait for the client's delayed acknowledgement. Enables probes, because a client that
/// vanished closes no connection.
fn prepare(stream: &TcpStream, send_timeout: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_tcp_keepidle(stream, PROBE)?;
    sockopt::set_tcp_keepintvl(stream, PROBE)?;
    sockopt::set_tcp_keepcnt(stream, 2)?;
    sockopt::set_socket_keepalive(stream, true)?;
    let limit = u32::try_from(send_timeout.as_millis()).unwrap_or(u32::MAX);
    Ok(sockopt::set_tcp_user_timeout(stream, limit)?)
}

fn protocol(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    // hyper's timers are not used: they do not cover every state of a connection.
    http.http1().max_buf_size(limits.head_bytes_max.max(MIN_BUFFER_BYTES));
    http.http2()
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES);
    http
}

/// The limit of the connections of a port. Each connection has one slot.
struct ConnectionSlots {
    free: Arc<Semaphore>,
    max: u32,
    port: u16,
    /// Whether it was logged that the limit is reached.
    full: bool,
}

impl ConnectionSlots {
    fn new(listener: &TcpListener, max: usize) -> Self {
        let max = u32::try_from(max).unwrap_or(u32::MAX).max(1);
        let free = Arc::new(Semaphore::new(max as usize));
        let port = listener.local_addr().map_or(0, |address| address.port());
        Self { free, max, port, full: false }
    }

    /// Waits until there is a slot for the next connection.
    async fn acquire(&mut self) -> Option<OwnedSemaphorePermit> {
        let free = self.free.available_permits();
        if free == 0 && !self.full {
            self.full = true;
            tracing::warn!(
                port = self.port,
                connections_max = self.max,
                "the limit of open connections is reached; new ones wait until one ends"
            );
        }
        // The flag is not reset as soon as one connection ends, because the next one would be
        // logged again.
        if self.full && free > (self.max / 10) as usize {
            self.full = false;
            tracing::info!(port = self.port, "new connections are accepted again");
        }
        self.free.clone().acquire_owned().await.ok()
    }

    /// Waits until there are no connections.
    async fn all_free(&self) {
        // It fails only if the semaphore is closed, which never happens.
        let _ = self.free.acquire_many(self.max).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_full_limit_is_logged_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut slots = ConnectionSlots::new(&listener, 20);
        let mut taken = Vec::new();
        for _ in 0..20 {
            taken.push(slots.acquire().now_or_never().unwrap());
            assert!(!slots.full);
        }
        assert!(slots.acquire().now_or_never().is_none());
        assert!(slots.full);
        for _ in 0..10 {
            taken.pop();
            taken.push(slots.acquire().now_or_never().unwrap());
            assert!(slots.full, "a single free slot does not reset the flag");
        }
        taken.truncate(17);
        taken.push(slots.acquire().now_or_never().unwrap());
        assert!(!slots.full);
    }

    #[tokio::test]
    async fn all_slots_are_free_when_the_last_connection_has_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut slots = ConnectionSlots::new(&listener, 2);
        let slot = slots.acquire().await;
        assert!(slots.all_free().now_or_never().is_none());
        drop(slot);
        assert!(slots.all_free().now_or_never().is_some());
    }
}
