//! A proxy whose connections can be cut.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A proxy on the loopback interface. Its connections end when it is dropped.
pub struct Proxy {
    is_cut: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Proxy {
    /// A listener for the proxy of a server that must know its port before it starts.
    pub async fn listen() -> Result<TcpListener> {
        Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?)
    }

    /// Passes connections on to this address.
    pub fn start(listener: TcpListener, to: SocketAddr) -> Self {
        let (is_cut, cut) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(run(listener, to, cut));
        Self { is_cut, _task: task }
    }

    /// Cuts all connections and refuses new ones, or accepts them again.
    pub fn cut(&self, is_cut: bool) {
        self.is_cut.send_replace(is_cut);
    }
}

async fn run(listener: TcpListener, to: SocketAddr, cut: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        if !*cut.borrow() {
            connections.spawn(pass_on(client, to, cut.clone()));
        }
    }
}

/// Ends when one of both sides closes the connection, or when it is cut.
async fn pass_on(mut client: TcpStream, to: SocketAddr, mut cut: watch::Receiver<bool>) {
    let passed_on = async {
        let mut server = TcpStream::connect(to).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut server).await
    };
    // Errors of a connection are seen by its client.
    tokio::select! {
        _ = passed_on => {}
        _ = cut.wait_for(|is_cut| *is_cut) => {}
    }
}
