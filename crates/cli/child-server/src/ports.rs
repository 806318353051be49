//! Ports on the loopback interface.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result};

/// Finds free ports. All are held until this is dropped, so that each is different.
#[derive(Default)]
pub struct FreePorts {
    held: Vec<TcpListener>,
}

impl FreePorts {
    /// A free port that differs from all that were found before.
    pub fn find(&mut self) -> Result<u16> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        let port = listener.local_addr()?.port();
        self.held.push(listener);
        Ok(port)
    }
}

/// Whether a process accepts connections on this port.
pub async fn accepts(port: u16) -> bool {
    tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok()
}
