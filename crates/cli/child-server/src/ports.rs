//! Ports on the loopback interface.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};

/// The ports for servers. They are below those that the system gives to outgoing connections
/// (32768 to 60999 on Linux), so that no connection takes one before its server starts or while it
/// restarts.
const FIRST: u16 = 10_000;
const COUNT: u16 = 22_000;

/// By how much the first ports of two programs differ that were started one after the other.
const DISTANCE: u32 = 97;

/// A free port. This process finds each port only once, until all have been found, so a server that
/// is restarted gets its port again.
pub fn free_port() -> Result<u16> {
    static FOUND: Mutex<Option<u16>> = Mutex::new(None);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..COUNT {
        let index = match *found {
            Some(last) => (last + 1) % COUNT,
            None => (std::process::id().wrapping_mul(DISTANCE) % u32::from(COUNT)) as u16,
        };
        *found = Some(index);
        let port = FIRST + index;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {FIRST} to {} is free on {}", FIRST + (COUNT - 1), Ipv4Addr::LOCALHOST)
}

/// Whether a process accepts connections on this port.
pub async fn accepts(port: u16) -> bool {
    tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_is_found_once_and_can_be_bound() {
        let ports = [free_port().unwrap(), free_port().unwrap()];
        assert_ne!(ports[0], ports[1]);
        for port in ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }
}
