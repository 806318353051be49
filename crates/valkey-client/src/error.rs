//! Why there is no connection.

use std::fmt;
use std::time::Duration;

use redis::RedisError;
use valkey_codec::Address;

/// There is no primary, or no way to it: what was found at each of the servers.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    /// What was found, and where.
    pub faults: Vec<(Address, Fault)>,
}

/// What was found at a server.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No answer.
    #[error("nothing came in {0:?}")]
    Silent(Duration),
    /// It copies another one, or is no store at all.
    #[error("it is not the primary; its role: {0}")]
    Role(String),
    /// It cannot be reached, or refuses.
    #[error("{0}")]
    Redis(#[from] RedisError),
}

impl Error {
    /// Another server may be the primary later; credentials stay wrong.
    pub fn is_retriable(&self) -> bool {
        self.faults.iter().any(|(_, fault)| match fault {
            Fault::Silent(_) | Fault::Role(_) => true,
            Fault::Redis(error) => error.is_io_error(),
        })
    }
}

impl fmt::Display for Error {
    /// A server alone needs no name: it was given by whoever asks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(_, fault)] = self.faults.as_slice() {
            return fault.fmt(f);
        }
        write!(f, "no primary found")?;
        for (place, (address, fault)) in self.faults.iter().enumerate() {
            write!(f, "{} {address}: {fault}", if place == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}
