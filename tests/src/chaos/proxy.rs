//! A part of the network: a TCP proxy on loopback that can interrupt, delay or drop the traffic.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Maximum number of bytes that are forwarded at once.
const CHUNK_BYTES: usize = 16 << 10;

/// The state of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Everything is forwarded.
    Clear,
    /// Open connections are closed, and new ones are refused.
    Cut,
    /// Everything is forwarded with this delay, in both directions.
    Slow(Duration),
    /// Requests are forwarded, responses are not. Connections are closed when the state changes.
    Mute,
    /// The peers of the open connections have disappeared: nothing is forwarded on these any more,
    /// even if the state changes, and they stay open. New connections work.
    Vanished,
}

/// A proxy in front of one or more servers on loopback. New connections are distributed among them.
pub struct Proxy {
    port: u16,
    targets: Arc<RwLock<Vec<u16>>>,
    state: watch::Sender<LinkState>,
    _listening: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Starts to listen. Forwards nothing until there are targets.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr().context("no port")?.port();
        let targets = Arc::new(RwLock::new(Vec::new()));
        let (state, seen) = watch::channel(LinkState::Clear);
        let listening = tokio::spawn(listen(listener, targets.clone(), seen));
        Ok(Self { port, targets, state, _listening: AbortOnDropHandle::new(listening) })
    }

    /// The port of the proxy.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets the ports of the servers. Open connections are not changed.
    pub fn aim(&self, targets: Vec<u16>) {
        *self.targets.write().unwrap_or_else(PoisonError::into_inner) = targets;
    }

    /// Sets the state of the network.
    pub fn set(&self, state: LinkState) {
        self.state.send_replace(state);
    }
}

async fn listen(
    listener: TcpListener,
    targets: Arc<RwLock<Vec<u16>>>,
    state: watch::Receiver<LinkState>,
) {
    let turn = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if *state.borrow() == LinkState::Cut {
            continue;
        }
        let ports = targets.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (turn, state) = (turn.clone(), state.clone());
        tokio::spawn(async move {
            if let Some(server) = connect(&ports, turn.fetch_add(1, Ordering::Relaxed)).await {
                pass(client, server, state).await;
            }
        });
    }
}

/// Connects to the next server in turn that accepts a connection.
async fn connect(ports: &[u16], turn: usize) -> Option<TcpStream> {
    for offset in 0..ports.len() {
        let port = ports[(turn + offset) % ports.len()];
        if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
            return Some(stream);
        }
    }
    None
}

/// Forwards bytes in both directions until one side ends or the state of the network closes the
/// connection.
async fn pass(client: TcpStream, server: TcpStream, mut state: watch::Receiver<LinkState>) {
    // A state that was set before does not concern this connection.
    state.mark_unchanged();
    // Best effort: without TCP_NODELAY, the network is slower but correct.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, state.clone(), false) => {}
        () = pump(from_server, to_client, state, true) => {}
    }
}

/// Forwards bytes in one direction. `answers` says whether these bytes are responses.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<LinkState>,
    answers: bool,
) {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut swallowed = false;
    loop {
        let read = tokio::select! {
            biased;
            changed = state.changed() => {
                let now = *state.borrow_and_update();
                if now == LinkState::Vanished {
                    return swallow(from, &mut buffer).await;
                }
                if changed.is_err() || now == LinkState::Cut || swallowed {
                    return;
                }
                continue;
            }
            read = from.read(&mut buffer) => read,
        };
        let Ok(length @ 1..) = read else { return };
        let now = *state.borrow();
        match now {
            LinkState::Cut => return,
            LinkState::Mute if answers => {
                swallowed = true;
                continue;
            }
            LinkState::Slow(delay) => tokio::time::sleep(delay).await,
            LinkState::Clear | LinkState::Mute | LinkState::Vanished => {}
        }
        if swallowed || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// Reads and discards bytes until the sender closes the connection.
async fn swallow(mut from: impl AsyncRead + Unpin, buffer: &mut [u8]) {
    while let Ok(1..) = from.read(buffer).await {}
}
